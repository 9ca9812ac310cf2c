"""The U-Net, its training and its predictions: torch, no screen, no files."""
