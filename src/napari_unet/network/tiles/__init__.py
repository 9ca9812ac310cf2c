"""A trained network sees an image tile by tile, as if whole."""
