"""The argument `categories` of `partial_fit`, which lists categories of later rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skbackprop._columns import quoted
from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.inputs import InputEncoding, RawTable
from skbackprop._fit.warn import warn
from skbackprop._values import text_of


def named_categories(given: Any, names: Sequence[Hashable], is_category: np.ndarray) -> list[np.ndarray | None]:
    """Texts of each column's categories in ascending order, None where none are given.

    The argument is a list as in the attribute `categories_`, or a dict with the names of columns.
    """
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"categories holds {unknown}, but the columns of X are {list(names)}.")
        given = [given.get(name) for name in names]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ValueError(f"categories must be a list with one entry for each column of X, or a dict; got {given!r}.")
    given = list(given)
    if len(given) != len(names):
        raise ValueError(
            f"categories must have one entry for each of the {len(names)} columns of X (None for numeric columns); got "
            f"{len(given)}."
        )
    return [
        None if values is None else _texts(name, values, bool(is_one))
        for name, values, is_one in zip(names, given, is_category, strict=True)
    ]


def _texts(name: Hashable, values: Any, is_category: bool) -> np.ndarray:
    if not is_category:
        raise ValueError(f"categories are given for column {name!r}, which is numeric. Add it to categorical_features.")
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"categories of column {name!r} must be a list of its values, got {values!r}.")
    texts = [text_of(value) for value in values if not is_missing(value)]  # which have a separate input
    repeated = [text for text, n in Counter(texts).items() if n > 1]
    if repeated:
        raise ValueError(f"categories of column {name!r} hold {quoted(repeated)} more than once, compared as texts.")
    return np.array(sorted(texts), dtype=object)


def with_categories(learned: InputEncoding, named: list[np.ndarray | None]) -> InputEncoding:
    """The encoding with the given categories of columns, if there are some."""
    ours = [texts for texts, is_one in zip(named, learned.is_category, strict=True) if is_one]
    known = zip(learned.categories, ours, strict=True)
    return replace(learned, categories=[found if texts is None else texts for found, texts in known])


def check_categories(known: InputEncoding, named: list[np.ndarray | None], names: Sequence[Hashable]) -> None:
    """Raise unless the categories of a later call are those of the first."""
    expected = known.attributes["categories_"]
    for name, texts, first in zip(names, named, expected, strict=True):
        if texts is not None and first is not None and not np.array_equal(texts, first):
            raise ValueError(
                f"categories of column {name!r} differ from those of the first call: now {quoted(texts.tolist())}, "
                f"then {quoted(first.tolist())}."
            )


def warn_silent(known: InputEncoding, table: RawTable, weights: np.ndarray | None, names: Sequence[Hashable]) -> None:
    """Warn of training rows with values for which the model has no input, so that it cannot learn from them."""
    columns = [names[j] for j in known.silent_in(table, weights)]
    if columns:
        warn(
            f"The columns {columns} hold categories, or missing values, that were not in the rows of fit. The model "
            "has no input for them and learns nothing from them. Fit anew on rows that contain them. Or start with "
            "partial_fit or warm_start=True, which add inputs for missing and unknown categories; list later "
            "categories in categories=... of the first partial_fit."
        )
