"""Images are segmented: those of the window, files, and what is too large for the memory."""
