"""Corrections of predicted objects become paint."""
