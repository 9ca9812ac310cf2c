"""What is on disk: images, models, projects, results, settings."""
