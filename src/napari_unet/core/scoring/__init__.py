"""How well labels agree with the truth, and how far a score can be trusted."""
