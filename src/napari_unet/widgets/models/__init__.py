"""The models there are, and those that come and go."""
