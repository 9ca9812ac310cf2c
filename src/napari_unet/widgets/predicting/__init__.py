"""Segmentation of images in the window, of files, and of images too large for the memory."""
