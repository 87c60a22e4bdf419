"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

BETWEEN = {"skbackprop", "sklearn", "contextlib"}  # packages whose frames lie between the user and a fit


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside of these packages."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
