"""Trained networks on disk: ours, those from elsewhere, and what another day of training needs."""
