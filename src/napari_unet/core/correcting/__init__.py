"""What is said of predicted objects becomes paint."""
