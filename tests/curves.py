"""Data whose noise is known."""

import numpy as np


def curve(n, noise, seed=0):
    """A smooth function of two of ten inputs, and noise of so many times its spread."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    y = np.sin(3.0 * X[:, 0]) + np.abs(X[:, 1])
    return X, y + noise * y.std() * rng.normal(size=n)
