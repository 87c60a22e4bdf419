"""Contents of training columns: which texts are numbers, and which look like neither numbers nor categories."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from skbackprop._amounts import ODD_SHARE, amount_line, with_numbers
from skbackprop._columns import (
    CATEGORIES,
    COERCE,
    SKRUB,
    Column,
    are_bools,
    are_numbers,
    code_of,
    different_values,
    factor,
    floats,
    has_numeric_dtype,
    quoted,
)
from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.inputs import Factor
from skbackprop._fit.warn import warn
from skbackprop._values import NUMBER, text_of

CODE = re.compile(r"[-+]?(0\d+|\d{16,})", re.ASCII)  # which would lose digits as a number
GAPS = {"", "?", "-", "--", ".", "..", "*", "#", "/", "na", "n/a", "n.a.", "#n/a", "nan", "none", "null", "nil"}
GAPS |= {"missing", "unknown", "not available"}

DAY, MONTH, YEAR = r"(0?[1-9]|[12]\d|3[01])", r"(0?[1-9]|1[0-2])", r"(1[7-9]|2[01])\d\d"
NAME = "jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sep(t(ember)?)?|oct(ober)?|(nov|dec)(ember)?"
TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s*[ap]\.?m\.?)?(\s*(z|utc|gmt|[-+]\d{2}:?\d{2}))?"
DATE = rf"(\d{{4}}(?P<a>[-/.]){DAY}(?P=a){DAY}|({DAY}(?P<b>[-/]){DAY}(?P=b)|{DAY}\.{MONTH}\.)(\d\d){{1,2}})"
NAMED = rf"({DAY}(st|nd|rd|th)?\.?[- ]*({NAME})[-., ]*(\d\d|{YEAR})|({NAME})[. ]*({DAY}(st|nd|rd|th)?,? )?{YEAR})"
CLOCK = rf"([t ,]+{TIME})?"  # behind a date
DAYS = (
    "X[{{name!r}}] = (pandas.to_datetime({}, format='{}', errors='coerce', utc=True)"
    " - pandas.Timestamp(0, tz='UTC')).dt.days"
)


class Family(NamedTuple):
    """Texts of dates or times: their pattern, their name in a message, and the line that converts them to numbers."""

    pattern: str
    looks: str
    line: str
    is_sure: Callable[[set[str]], bool] = bool  # rules out scores and seasons, which match as well


FAMILIES = [  # skrub.TableVectorizer reads one of them, pandas the others
    Family(
        r"(-?\d+ days? )?[-+]?\d{1,3}:[0-5]\d(:[0-5]\d)?([.,]\d+)?",
        "times or durations",
        "X[{name!r}] = pandas.to_timedelta(X[{name!r}].astype(str).str.replace(',', '.')"
        r".str.replace(r'^(\d+:[\d.]+)$', r'0:\1', regex=True), errors='coerce').dt.total_seconds()",
        lambda texts: any(":0" in text for text in texts),
    ),
    Family(
        TIME,
        "times",
        "X[{name!r}] = pandas.to_datetime(X[{name!r}], format='mixed', errors='coerce', utc=True).dt.hour",
        lambda texts: any(re.search("[a-z+-]", text, re.IGNORECASE) for text in texts),
    ),
    Family(
        rf"{YEAR}[-/]{MONTH}|{MONTH}[-/]{YEAR}",
        "months",
        DAYS.format("X[{name!r}]", "mixed"),
        lambda texts: len({re.sub(r"\b\d\d?\b", "", text) for text in texts}) < len(texts),
    ),
    Family(
        rf"{YEAR}[-/ ]?q[1-4]|q[1-4][-/ ]?{YEAR}",
        "quarters",
        r"X[{name!r}] = X[{name!r}].str.extract(r'(\d{{4}})', expand=False).astype(float) + "
        r"X[{name!r}].str.extract('[Qq](.)', expand=False).astype(float) / 4",
    ),
    Family(
        rf"{YEAR}-?W(0[1-9]|[1-4]\d|5[0-3])", "weeks", DAYS.format("X[{name!r}].str.replace('-', '') + '1'", "%GW%V%u")
    ),
    Family(DATE + CLOCK, "dates or times", SKRUB),
    Family(rf"([a-z]{{3,9}},? )?({DATE}|{NAMED}){CLOCK}", "dates or times", DAYS.format("X[{name!r}]", "mixed")),
]

CONVERT = "Convert the texts to numbers, in one column or in several, in new rows too."
LEFT_OUT = "left out"  # the kind of empty and constant columns
MANY = 30  # fewer distinct texts are categories, except dates and times
MANY_ROWS = 100  # fewer distinct texts are not identifiers
MOST_KNOWN = 10_000  # identifiers: looking at the spelling of more would slow predictions
ENOUGH = 20  # rows without a known category are no accident
WORDS = 5  # per text on average, from which on it is free text
ENCODED = {  # what becomes of distinct texts, by the kind of their column
    "categories": "a separate category",
    "means": "replaced by the mean target, or the share of each class, of its rows",
    "both": "a separate category, and also has a mean target",
}


class Reading(NamedTuple):
    """The content of a training column."""

    kind: str  # key of `columns_`
    values: np.ndarray | Factor | None = None
    gaps: Sequence[str] = ()  # the texts that count as missing among its numbers


def read_columns(
    labels: Sequence[Hashable], columns: Sequence[Column], named: set[int], few: int, most: int
) -> list[Reading]:
    """Read training columns; raise the first error after the warnings about all columns.

    named: numbers of the columns that the user named as categories.
    """
    readings, errors = list[Reading](), list[ValueError]()
    for i, (label, column) in enumerate(zip(labels, columns, strict=True)):
        try:
            readings.append(read_column(label, column, few, most, is_category=i in named))
        except ValueError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return readings


def read_column(label: Hashable, column: Column, few: int, most: int, *, is_category: bool) -> Reading:
    """Read a training column. Up to `few` categories are encoded as such, more than `most` as means, others as both.

    is_category: the user named it as a column of categories.
    """
    gaps = None if is_category else read(label, column, few, most)
    if gaps is not None:
        x = floats(label, column, gaps)
        known = x[~np.isnan(x)]
        return Reading("numbers", x, gaps) if len(known) and (known != known[0]).any() else Reading(LEFT_OUT)
    categories = factor(label, column)
    n = len(set(categories.texts))
    if n == 0 or (n == 1 and not (categories.numbers < 0).any()):
        return Reading(LEFT_OUT)
    return Reading(_kind(n, few, most), categories)


def _kind(n: int, few: int, most: int) -> str:
    """The kind of a column of n categories."""
    return "categories" if n <= few else "both" if n <= most else "means"


def read(name: Hashable, column: Column, few: int, most: int) -> list[str] | None:
    """Decide whether a training column holds numbers; return the texts among them that count as missing, else None.

    Texts are read as numbers if all but a few are numbers. Warns of the others, and of texts that are not suited as
    categories.
    """
    if has_numeric_dtype(column):
        floats(name, column)
        return []
    values = different_values(name, column)
    if CATEGORIES.match(str(column.dtype).lower()) or are_bools(column, values):
        return None
    if are_numbers(values):
        floats(name, column)
        return []
    gaps = None if _are_codes(values) else _gaps({_as_written(value) for value in values}, column)
    if gaps:
        line, use = amount_line(name, _no_gaps(values)), "This line reads numbers among them; apply it to new rows too"
        if not line:
            line, use = (
                f"X[{name!r}] = X[{name!r}].astype('category')",
                "If they have a meaning, convert all to categories",
            )
        warn(
            f"Column {name!r} holds numbers as text. Its other texts count as missing: {quoted(gaps)}. "
            f"{use}:{code_of(column, line)}"
        )
    if gaps is None:
        warn_of_look(name, column, values, _kind(len(set(map(text_of, values))), few, most))
    return gaps


def warn_of_look(name: Hashable, column: Column, values: set[object], kind: str = "categories") -> None:
    """Warn if the distinct texts of a column, which is of this kind, look like something other than categories."""
    looks, line = _look(name, values, column)
    if looks:
        helps = f"This line helps; apply it to new rows too:{code_of(column, line)}" if line else CONVERT
        warn(f"Column {name!r} looks like {looks}. Each distinct text is now {ENCODED[kind]}. {helps}")


def _are_codes(values: set[object]) -> bool:
    return any(CODE.fullmatch(value.strip()) for value in values if isinstance(value, str))


def _as_written(value: object) -> str:
    """A text unchanged, for messages and counting; other values by `text_of`."""
    return str.__str__(value) if isinstance(value, str) else text_of(value)


def _gaps(texts: set[str], column: Column) -> list[str] | None:
    """Texts that are not numbers, if they are few or known marks of missing values; else None."""
    numbers = {text for text in texts if NUMBER.fullmatch(text.strip())}
    odd = texts - numbers
    if len({float(text) for text in numbers}) < 2:
        return None
    unknown = {text for text in odd if text.strip().lower() not in GAPS}
    if len(unknown) > ODD_SHARE * len(numbers | unknown):
        return None
    if unknown and sum(_as_written(value) in unknown for value in column) > ODD_SHARE * len(column):
        return None
    return sorted({text_of(text) for text in odd})


def _no_gaps(values: set[object]) -> set[str]:
    """Values as pandas converts them to texts, without marks of missing ones."""
    return {str(value) for value in values if _as_written(value).strip().lower() not in GAPS}


def _look(name: Hashable, values: set[object], column: Column) -> tuple[str, str]:
    """A description of texts that are neither numbers nor categories, and the line that helps, if any; else empty."""
    texts = {_as_written(value).strip() for value in values}
    texts = {text for text in texts if text.lower() not in GAPS}
    n, some, codes = len(texts), quoted(sorted(texts)), _are_codes(values)
    for family in FAMILIES if n > 2 else []:
        pattern = re.compile(family.pattern, re.IGNORECASE | re.ASCII)
        if sum(bool(pattern.fullmatch(text)) for text in texts) >= (1.0 - ODD_SHARE) * n and family.is_sure(texts):
            return f"{family.looks} ({some})", family.line.format(name=name)
    if n < MANY:
        return "", ""
    odd = [text for text in texts if not NUMBER.fullmatch(text)]
    if not codes and (line := amount_line(name, _no_gaps(values))):
        return f"numbers with separators or units ({some})", line
    if pair := with_numbers(odd):
        return (f"numbers with other text ({quoted(pair)})", "") if n >= MANY_ROWS else ("", "")
    if len(odd) < n / 2 and not codes:
        return f"numbers among which there are other texts ({quoted(sorted(odd))})", COERCE.format(name=name)
    n_rows = sum(not is_missing(value) for value in column)
    if n > n_rows / 10 and sum(len(text.split()) for text in texts) >= WORDS * n:
        return f"free text ({some})", SKRUB
    if n >= MANY_ROWS and n >= (1.0 - ODD_SHARE) * n_rows:
        looks = f"identifiers ({n} distinct ones in {n_rows} rows: {some}), from which nothing can be learned"
        return looks, f"X = X.drop(columns=[{name!r}])"
    return "", ""


def warn_of_unknown(name: Hashable, column: Column, found: Factor, known: Sequence[str], *, is_expected: bool) -> None:
    """Warn if many rows have a category and none of these was known in training.

    found: the categories of the column.
    known: in ascending order.
    is_expected: all categories may well be new, so warn only if they are known in another spelling.
    """
    is_long = is_expected and len(known) > MOST_KNOWN
    if len(known) == 0 or is_long or np.count_nonzero(found.numbers >= 0) < ENOUGH:
        return
    last = len(known) - 1
    if any(known[bisect_left(known, text, 0, last)] == text for text in found.texts):  # mostly the first is known
        return
    spellings = set(map(_spelling, known))
    same = sorted(text for text in found.texts if _spelling(text) in spellings)
    if same or not is_expected:
        line = code_of(column, f"X[{name!r}] = X[{name!r}].astype(str).str.strip().str.lower()")
        hint = f" They differ in case or in spaces at the ends. Use this line in training and for new rows:{line}"
        warn(
            f"Column {name!r} has no category that was known in training, so it has no effect: now there is "
            f"{quoted(same[:1] or [min(found.texts)])}; known are {quoted([*known[:2]])}.{hint if same else ''}"
        )


def _spelling(text: str) -> str:
    return text.strip().lower()
