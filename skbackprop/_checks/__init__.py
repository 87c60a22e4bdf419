"""Checks of what users give, and what they are told: the only rooms with private names of scikit-learn."""
