"""Compare objectives in pilots of equal cost, and train the best of them for long."""
