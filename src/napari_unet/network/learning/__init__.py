"""A network learns from paint, step by step, while the paint may grow."""
