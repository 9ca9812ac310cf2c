"""What a training reads: images, paint and weights together."""
