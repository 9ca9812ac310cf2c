"""What a window of napari gives: threads, their bars, the life of its objects, and preferences."""
