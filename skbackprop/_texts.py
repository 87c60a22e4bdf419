"""What the training columns of a table hold: which texts are numbers, and which look like what no category is."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from skbackprop._columns import (
    CATEGORIES,
    COERCE,
    NUMBER,
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
    text_of,
)
from skbackprop._fit.data_checks import is_missing
from skbackprop._fit.inputs import Factor
from skbackprop._fit.warn import warn

CODE = re.compile(r"[-+]?(0\d+|\d{16,})", re.ASCII)  # as a number it would lose digits
GAPS = {"", "?", "-", "--", ".", "..", "*", "#", "/", "na", "n/a", "n.a.", "#n/a", "nan", "none", "null", "nil"}
GAPS |= {"missing", "unknown", "not available"}

MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*([ap]\.?m\.?)?\s*(z|utc|gmt|[-+]\d{2}:?\d{2})?"
DAY = "|".join(
    [
        r"\d{4}(?P<a>[-/.])\d{1,2}(?P=a)\d{1,2}",
        r"\d{1,2}(?P<b>[-/.])\d{1,2}(?P=b)(\d{4}|\d{2})",
        rf"\d{{1,2}}(st|nd|rd|th)?\.?[- ]*{MONTH}[-., ]*\d{{2,4}}",
        rf"{MONTH}[. ]*(\d{{1,2}}(st|nd|rd|th)?,? )?\d{{4}}",
    ]
)
DATE = re.compile(rf"([a-z]{{3,9}},? )?({DAY})([t ,]+{TIME})?|{TIME}", re.IGNORECASE | re.ASCII)
# with separators, a currency or a unit, which is the last group
AMOUNT = re.compile(r"[-+$€£¥ ]*(\d{1,3}([,.' \u00a0\u202f]\d{3})+|\d+)([.,]\d+)?\s*(\D*)", re.ASCII)

# decimals behind a comma: other than three of them, or thousands that are set off by points
COMMA = re.compile(r",(\d{1,2}|\d{4,})(\D|$)|\.\d{3}[.,]", re.ASCII)

LEFT_OUT = "left out"  # the kind of a column that says nothing
FEW = 0.05  # of the different texts, and of the rows
MANY = 30  # different texts, from which on they may be anything but categories
MANY_ROWS = 100  # different texts, from which on they may be identifiers
WORDS = 5  # of a text on the average, from which on it is none of a few


class Reading(NamedTuple):
    """What a training column holds."""

    kind: str  # key of `columns_`
    values: np.ndarray | Factor | None = None
    gaps: Sequence[str] = ()  # the texts that count as missing among its numbers


def read_column(label: Hashable, column: Column, few: int, most: int, *, is_category: bool) -> Reading:
    """Read a training column: up to few categories have no means, and more than most, if that is more, nothing else.

    is_category: its user says that its values are categories.
    """
    gaps = None if is_category else read(label, column)
    if gaps is not None:
        x = floats(label, column, gaps)
        known = x[~np.isnan(x)]
        return Reading("numbers", x, gaps) if len(known) and (known != known[0]).any() else Reading(LEFT_OUT)
    categories = factor(label, column)
    n = len(set(categories.texts))
    if n == 0 or (n == 1 and not (categories.numbers < 0).any()):
        return Reading(LEFT_OUT)
    return Reading("categories" if n <= few else "both" if n <= most else "means", categories)


def read(name: Hashable, column: Column) -> list[str] | None:
    """Decide whether a training column holds numbers: the texts among them that count as missing, or None.

    Numbers may come as texts if all but a few of these are numbers. Warns of what is no number among them, and of
    texts that are no good as categories.
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
        line = code_of(column, f"X[{name!r}] = X[{name!r}].astype('category')")
        warn(
            f"Column {name!r} holds numbers as text. Its other texts count as missing: {quoted(gaps)}. Where they mean "
            f"something else, make categories of all:{line}"
        )
    if gaps is None:
        warn_of_look(name, column, values)
    return gaps


def warn_of_look(name: Hashable, column: Column, values: set[object]) -> None:
    """Warn if texts, the different values of a column of categories, look like what no category is."""
    looks, line = _look(name, {_as_written(value) for value in values}, column, _are_codes(values))
    if looks:
        warn(
            f"Column {name!r} looks like {looks}. As it is, each different text is a category of its own. What helps, "
            f"for new rows too:{code_of(column, line)}"
        )


def _are_codes(values: set[object]) -> bool:
    return any(CODE.fullmatch(value.strip()) for value in values if isinstance(value, str))


def _as_written(value: object) -> str:
    """A text as it stands, for messages and for counting; other values by `text_of`."""
    return str(value) if isinstance(value, str) else text_of(value)


def _gaps(texts: set[str], column: Column) -> list[str] | None:
    """Texts that are no numbers, where they are few or known to stand for missing values; else None."""
    numbers = {text for text in texts if NUMBER.fullmatch(text.strip())}
    odd = texts - numbers
    if len({float(text) for text in numbers}) < 2:
        return None
    unknown = {text for text in odd if text.strip().lower() not in GAPS}
    if len(unknown) > FEW * len(numbers | unknown):
        return None
    if unknown and sum(_as_written(value) in unknown for value in column) > FEW * len(column):
        return None
    return sorted({text_of(text) for text in odd})


def _look(name: Hashable, texts: set[str], column: Column, codes: bool) -> tuple[str, str]:
    """Say what texts look like that are neither numbers nor categories, and the line that helps; nothing of others."""
    texts = {text.strip() for text in texts if text.strip().lower() not in GAPS}
    n, some = len(texts), quoted(sorted(texts))
    enough = (1.0 - FEW) * n
    if n > 2 and sum(bool(DATE.fullmatch(text)) for text in texts) >= enough:
        return f"dates or times ({some})", _date_line(name, texts)
    if n < MANY:
        return "", ""
    odd = [text for text in texts if not NUMBER.fullmatch(text)]
    units = [match[4] for text in odd if (match := AMOUNT.fullmatch(text))]
    if odd and len(units) >= (1.0 - FEW) * len(odd) and len(set(units)) == 1:
        return f"numbers with separators or units ({some})", _amount_line(name, odd, units[0])
    if len(odd) < n / 2 and not codes:
        return f"numbers among which there are other texts ({quoted(sorted(odd))})", COERCE.format(name=name)
    n_rows = sum(not is_missing(value) for value in column)
    if n > n_rows / 10 and sum(len(text.split()) for text in texts) >= WORDS * n:
        return f"free text ({some})", SKRUB
    if n >= MANY_ROWS and n >= (1.0 - FEW) * n_rows:
        looks = f"identifiers ({n} different ones in {n_rows} rows: {some}), which say nothing of new rows"
        return looks, f"X = X.drop(columns=[{name!r}])"
    return "", ""


def _date_line(name: Hashable, texts: set[str]) -> str:
    """What makes numbers of dates or times: where skrub does not read them, pandas does."""
    read = f"pandas.to_datetime(X[{name!r}], format='mixed', errors='coerce', utc=True)"
    if all(re.fullmatch(TIME, text, re.IGNORECASE | re.ASCII) for text in texts):
        return f"X[{name!r}] = {read}.dt.hour"
    if any(re.search(MONTH, text, re.IGNORECASE) for text in texts):
        return f"X[{name!r}] = ({read} - pandas.Timestamp(0, tz='UTC')).dt.days"
    return SKRUB


def _amount_line(name: Hashable, texts: list[str], unit: str) -> str:
    """What makes numbers of amounts of a unit, be their decimals behind a comma or behind a point."""
    kept, point = (r"[^\d,-]", ".str.replace(',', '.')") if any(map(COMMA.search, texts)) else (r"[^\d.-]", "")
    cut = f".str.replace({unit!r}, '')" if re.search(r"[-.,]", unit) else ""  # else what is not kept has it
    numbers = f"X[{name!r}].astype(str){cut}.str.replace(r'{kept}', '', regex=True){point}"
    return f"X[{name!r}] = pandas.to_numeric({numbers}, errors='coerce')"
