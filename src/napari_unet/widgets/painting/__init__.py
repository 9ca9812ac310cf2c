"""Brushes, complete regions, and what the paint is worth."""
