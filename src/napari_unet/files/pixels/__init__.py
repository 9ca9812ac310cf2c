"""Images on disk: what they hold, how large their pixels are, and how they are read piece by piece."""
