"""Images as arrays, read and worked on piece by piece."""
