"""Brushes, complete regions, and how much each painted pixel counts."""
