"""What a window of napari provides: progress bars, the lifetime of its objects, and preferences."""
