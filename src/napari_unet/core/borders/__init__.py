"""How far pixels are from the two nearest objects, and what that weighs."""
