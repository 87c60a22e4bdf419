"""Warnings that point at the user's line, and the output of `verbose`; on a cluster both go to the user's process."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BETWEEN = {"skbackprop", "sklearn", "joblib", "contextlib"}  # packages whose frames lie between the user and a fit

Listener = Callable[[str, type[Warning] | None], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_name: ContextVar[str] = ContextVar("name", default="")  # of the network that lines are about, if it is one of several
_warned: ContextVar[set[str] | None] = ContextVar("warned", default=None)  # what was warned of
DETAILS = re.compile(r"'[^']*'|-?\d[\d.]*(e[-+]\d+)?")  # of a warning: names, examples and numbers


@contextmanager
def redirect_messages(listener: Listener) -> Iterator[None]:
    """Send warnings to a listener and, with the category None, the lines that `say` would print."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Print the name of a network in front of the lines inside."""
    token = _name.set(f"{name}: ")
    try:
        yield
    finally:
        _name.reset(token)


@contextmanager
def warned_once() -> Iterator[None]:
    """Warn once of what differs in details only, as it does for networks that are trained on parts of the rows."""
    token = _warned.set(set())
    try:
        yield
    finally:
        _warned.reset(token)


def say(line: str) -> None:
    """Print what `verbose` asked for."""
    line, listener = _name.get() + line, _listener.get()
    if listener is None:
        print(line, flush=True)
    else:
        listener(line, None)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line outside of these packages."""
    warned, listener = _warned.get(), _listener.get()
    if warned is not None:
        column = re.search("'[^']*'", message)  # the first name tells columns apart
        kind = f"{column and column[0]} {DETAILS.sub('', message)}"
        if kind in warned:
            return
        warned.add(kind)
    if listener is not None:
        listener(message, category)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
