"""What docks are built of, whatever they are for."""
