"""Warnings that point at the user's line, and what a fit says; a fit elsewhere sends both to the user's process."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BETWEEN = {"skbackprop", "sklearn", "joblib", "contextlib"}  # packages whose frames lie between the user and a fit

Listener = Callable[[str, type[Warning] | None], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def redirect_messages(listener: Listener) -> Iterator[None]:
    """Let a listener have the warnings inside and, with the category None, the lines that `say` would print."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def say(line: str) -> None:
    """Print what `verbose` asked for."""
    listener = _listener.get()
    if listener is None:
        print(line, flush=True)
    else:
        listener(line, None)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside of these packages."""
    listener = _listener.get()
    if listener is not None:
        listener(message, category)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
