"""Labels are compared with the truth."""
