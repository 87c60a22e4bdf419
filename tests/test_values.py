"""Values in columns: equal ones are one category, and texts from anywhere are read in little time."""

import enum
import itertools
import os
import pickle
import re
import subprocess
import sys
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skbackprop import MLPRegressor, _amounts, _columns, _texts, _values, tabular_pipeline
from skbackprop._checks.calls import value_hint
from skbackprop._columns import factor
from skbackprop._values import text_of

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 20, "weight_decay": 0.0, "dropout": 0.0, "random_state": 0}
ESTIMATORS = [tabular_pipeline("regressor", **SETTINGS), MLPRegressor(**SETTINGS, categorical_features=["c"])]


class Color(str, enum.Enum):  # noqa: UP042, as StrEnum has another __str__
    RED = "red"
    TEN = "10.0"


class Loud(str):
    """A string that is written otherwise than it is."""

    __slots__ = ()

    def __str__(self):
        return self.upper()

    __repr__ = __str__


class Size(float, enum.Enum):
    HALF = 0.5


class Level(enum.IntEnum):
    ONE = 1


Pair = namedtuple("Pair", ["first", "second"])

NUMBERS = [
    *(
        kind(1)
        for kind in (int, float, bool, Decimal, Fraction, np.int8, np.uint64, np.float16, np.float32, np.float64)
    ),
    *(kind(0.5) for kind in (float, Decimal, Fraction, np.float16, np.float32, np.float64, np.longdouble)),
    *(kind(0.1) for kind in (float, Decimal, Fraction, np.float64, np.longdouble)),
    *(kind(10**30) for kind in (int, Decimal, Fraction)),
    *(kind(1e30) for kind in (int, float, Decimal, Fraction, np.longdouble)),
    *(kind("inf") for kind in (float, Decimal, np.float32, np.longdouble)),
    *(kind("0") for kind in (int, float, Decimal, Fraction)),
    *(-0.0, np.True_, np.longdouble(1), Decimal("1.00"), Size.HALF, Level.ONE, Fraction(1, 3), Decimal("0.3"), 2**70),
]
TEXTS = ["red", np.str_("red"), Loud("red"), Color.RED, "10.0", Color.TEN, Loud("10.0"), "True", Loud("True")]
SINGLE = [*NUMBERS, *TEXTS, b"red", np.bytes_(b"red"), None]
NESTED = [
    *((value, 2) for value in SINGLE),
    *((value,) for value in SINGLE),
    *(Pair(value, 2) for value in SINGLE),
    *(((value, "a"), frozenset([value])) for value in SINGLE),
    *(frozenset([value, "a", "b", "c"]) for value in SINGLE),
    *(frozenset([value, (np.int64(7), "x")]) for value in SINGLE),
    *(frozenset([(7, Loud("x")), value]) for value in SINGLE),
    *(frozenset(order) for order in itertools.permutations(["a", "b", 1, (2, 3)])),
    *[(), frozenset(), (1.5, None), (float("nan"), 1)],
]


def test_equal_values_have_the_same_text():
    """Dictionaries decide what is equal: `==` with the same hash."""
    texts = {}
    for value in [*SINGLE, *NESTED]:
        texts.setdefault(value, set()).add(text_of(value))
    assert len(texts) < 0.5 * len(SINGLE + NESTED)
    assert {value: found for value, found in texts.items() if len(found) > 1} == {}


def test_texts_are_those_that_python_writes():
    """As models have them that were saved earlier."""
    for value in [
        (1, "a"),
        (0.5,),
        ("a", b"b", None),
        ((1, 2), "x"),
        frozenset([1]),
        frozenset(),
        (),
        frozenset(["a"]),
    ]:
        assert text_of(value) == str(value)
    assert [text_of(value) for value in (Color.RED, Color.TEN, Size.HALF, Level.ONE)] == ["red", "10", "0.5", "1"]
    assert text_of((np.int64(1), np.float32(0.1), np.str_("a"), True)) == "(1, 0.1, 'a', 1)"
    assert text_of(frozenset([3, 1, "b", "a"])) == "frozenset({'a', 'b', 1, 3})"
    assert len({text_of(value) for value in [("a, b",), ("a", "b"), ("1",), (1,), "(1,)", ((1,),), [1]]}) == 6


PAIRS = {  # of equal values
    "enum": (["red", "10.0", "blue"], [Color.RED, Color.TEN, "blue"]),
    "subclass": (["red", "10.0", "blue"], [Loud("red"), Loud("10.0"), Loud("blue")]),
    "tuples": ([("x", 1), ("x", 2), ("y", 1)], [("x", np.int64(1)), (Loud("x"), 2.0), Pair("y", True)]),
    "sets": (
        [frozenset("abcdef"), frozenset("abc"), frozenset([1, "a"])],
        [frozenset("fedcba"), frozenset([Loud("c"), np.str_("b"), "a"]), frozenset(["a", np.int64(1)])],
    ),
}


def table_of(values, n):
    column = np.empty(n, dtype=object)
    column[:] = [values[i % 3] for i in range(n)]
    return pd.DataFrame({"a": np.arange(n) % 7 / 7.0, "c": pd.Series(column)})


@pytest.mark.parametrize("model", ESTIMATORS)
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("back", [False, True])
def test_equal_categories_are_known_in_predict(kind, model, back):
    fitted, given = (table_of(values, 120) for values in PAIRS[kind][:: -1 if back else 1])
    y = np.arange(120) % 3 * 10.0
    model.fit(fitted, y)
    expected = model.predict(fitted)
    assert np.ptp(expected) > 2.0  # the categories matter
    assert_array_equal(model.predict(given), expected)
    assert factor("c", fitted["c"]).texts == factor("c", given["c"]).texts


def test_sets_are_the_same_categories_in_every_process(tmp_path):
    X = table_of([frozenset("abcdef"), frozenset(["u", "v", ("w", 1)]), frozenset("xyz")], 120)
    model = ESTIMATORS[0].fit(X, np.arange(120) % 3 * 10.0)
    (tmp_path / "both").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, X = pickle.load(open(sys.argv[1], 'rb')); "
        "sys.stdout.write(model.predict(X).tobytes().hex())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    run = [sys.executable, "-P", "-c", code, str(tmp_path / "both")]
    env = os.environ | {"PYTHONHASHSEED": seed}
    found = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout
    assert_array_equal(np.frombuffer(bytes.fromhex(found)), model.predict(X))


LONG = 50_000  # characters, for which quadratic time would be minutes for each text, and linear time milliseconds
REPEATED = ["1", "1,", "11,", "1.", "0", " ", "\t- ", ".", "1.000,", "a", "t 1:", "1e", "may "]
BEFORE = ["", "1.", "2020-01-01 ", "1:00", "monday, 1 may", "USD "]
PATTERNS = {
    f"{module.__name__}.{name}": value
    for module in (_amounts, _columns, _texts, _values)
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
} | {family.looks: re.compile(family.pattern, re.IGNORECASE | re.ASCII) for family in _texts.FAMILIES}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_take_linear_time(name):
    """A text from anywhere must not stop a service; with quadratic time this test would not end."""
    pattern = PATTERNS[name]
    for before, repeated in itertools.product(BEFORE, REPEATED):
        text = f"{before}{repeated * (LONG // len(repeated))}x\n;"
        assert pattern.fullmatch(text) is None or name.endswith(("AMOUNT", "NO_UNIT"))
        if name.endswith("NUMERAL"):
            assert len(pattern.sub("", text)) <= len(text)


@pytest.mark.parametrize("text", ["1" * LONG + "x", "." + "1" * LONG + "x", "1." + "1" * LONG + "e"])
@pytest.mark.parametrize("model", ESTIMATORS)
def test_long_texts_among_numbers(text, model):
    X = pd.DataFrame({"a": np.arange(40.0), "c": ["u", "v"] * 20})
    model.fit(X, X["a"])
    with pytest.raises(ValueError, match="Column 'a' held numbers in training, but now also"):
        model.predict(pd.DataFrame({"a": ["1", text], "c": ["u", text]}))
    assert value_hint("n_bins", text) == ""
    assert value_hint("n_bins", "1" * LONG).endswith("1, a number without quotation marks.")
