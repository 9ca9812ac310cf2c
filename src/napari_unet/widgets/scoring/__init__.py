"""Comparison of labels with the truth."""
