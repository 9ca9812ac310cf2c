"""What is on disk: models, images, settings."""
