"""A landscape of probability and depth, and its hills."""
