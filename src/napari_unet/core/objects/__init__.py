"""Objects as they are read from probabilities, of any image and in any way."""
