"""Between napari's layers and arrays: what is read from a layer, put on one, and noted there."""
