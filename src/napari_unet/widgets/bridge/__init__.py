"""The bridge between napari's layers and arrays: what is read from a layer, put on it, and noted there."""
