"""Values in columns: which are numbers, and the texts by which categories are told apart."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0", re.ASCII)
TRUTH = {"true": "1", "false": "0"}  # as Python, Arrow and polars write them


def is_bool(value: object) -> TypeGuard[bool]:
    """Tell whether a value is a boolean of Python or NumPy."""
    return isinstance(value, bool | np.bool_)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a real number and not a boolean."""
    return isinstance(value, Real | Decimal) and not is_bool(value)


def text_of(value: object) -> str:
    """Text of a category, the same for equal values. 1, 1.0, True, "1", "1.0" and "True" are the same category.

    A missing value in the column, or saving a table to a file, may convert one to the other.
    """
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        text = str.__str__(value)  # not that of a subclass, such as an Enum
        return TRUTH.get(text.lower(), text[:-2] if WHOLE.fullmatch(text) else text)
    if is_bool(value) or isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(_part, value))}{',' * (len(value) == 1)})"
    if isinstance(value, frozenset):  # whose order differs between processes
        return f"frozenset({{{', '.join(sorted(map(_part, value)))}}})" if value else "frozenset()"
    if not is_number(value):
        return str(value)
    number = number_of(value)
    if number is None or not math.isfinite(number):
        return str(number if value == number else value)
    if value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, np.float16 | np.float32) else repr(number)


def _part(value: object) -> str:
    """Text of an element of a tuple or a set, as Python writes it, but the same for equal values."""
    if is_number(value) or is_bool(value) or isinstance(value, tuple | frozenset):
        return text_of(value)
    if isinstance(value, str):
        return repr(str.__str__(value))
    return repr(bytes(value) if isinstance(value, bytes) else value)


def number_of(value: object) -> float | None:
    """Convert a number, a boolean or a text of one of them to a float; None for other values."""
    try:
        if is_number(value):
            return float(value)
        text = text_of(value).strip()
        return float(text) if NUMBER.fullmatch(text) else None
    except OverflowError:
        return math.inf
