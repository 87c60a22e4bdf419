"""Validation of the user's input, and messages; the only modules that import private names of scikit-learn."""
