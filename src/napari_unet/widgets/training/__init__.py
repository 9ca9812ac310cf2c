"""A network learns, and shows what it makes of what the user looks at."""
