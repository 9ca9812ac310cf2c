"""Paint as it is taught, and what is measured of it: once, and again after every stroke."""
