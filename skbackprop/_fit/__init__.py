"""Fitting: from the user's arrays to trained parameters."""
