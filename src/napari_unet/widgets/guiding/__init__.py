"""Where to paint next."""
