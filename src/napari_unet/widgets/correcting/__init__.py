"""Predicted objects are corrected, and become paint."""
