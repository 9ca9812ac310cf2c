"""Parts that all docks are built of."""
