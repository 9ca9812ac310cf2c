"""Trained networks on disk: ours, those from elsewhere, and the states that continue a training."""
