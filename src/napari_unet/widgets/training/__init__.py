"""A network learns, and shows what it predicts where the user looks."""
