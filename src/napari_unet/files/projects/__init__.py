"""A project: a folder with images, paint and models, so that nothing is lost."""
