"""Columns that are neither numbers nor categories: the line that a message shows is one that helps."""

import datetime
import re
import uuid
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline

from skbackprop import MLPRegressor, tabular_pipeline
from skbackprop._amounts import amount_line, with_numbers
from skbackprop._columns import factor
from skbackprop._texts import warn_of_unknown
from skbackprop.ensemble import MLPEnsembleRegressor

N = 240
RNG = np.random.default_rng(0)
DAYS = pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 1000, N), "D")
WORDS = ["good", "bad", "nice", "ugly", "round", "square", "red", "blue", "fast", "slow", "house", "garden", "door"]
SINCE_1970 = ((DAYS - pd.Timestamp(0)).days).to_numpy(float)
AMOUNTS = RNG.integers(100_000, 99_999_999, N) / 100
WHOLE = RNG.integers(1, 10**9, N) // 10 ** RNG.integers(0, 6, N)
SECONDS = RNG.permutation(3600)[:N]
MONTHS = (DAYS.to_period("M").start_time - pd.Timestamp(0)).days
QUARTERS = DAYS.to_period("Q")
FRENCH = str.maketrans(",.", " ,")
SETTINGS = {"hidden_layer_sizes": (4,), "max_iter": 1, "weight_decay": 0.5, "dropout": 0.0, "random_state": 0}

# values, what they look like, and what the line makes of them; None: columns of skrub
CASES = {
    "ISO dates": (DAYS.strftime("%Y-%m-%d"), "dates or times", None),
    "German dates": (DAYS.strftime("%d.%m.%Y"), "dates or times", None),
    "names of months": (DAYS.strftime("%d %b %Y"), "dates or times", SINCE_1970),
    "times": ([f"{h:02}:{m:02}" for h in range(24) for m in range(0, 60, 6)], "times or durations", np.arange(N) * 6),
    "mornings": ([f"{i // 20 or 12}:{i % 20 + 10} am" for i in range(N)], "times", np.arange(N) // 20),
    "seconds": ([f"{s // 60}:{s % 60:02}" for s in SECONDS], "times or durations", SECONDS),
    "tenths": ([f"{s // 60}:{s % 60:02},5" for s in SECONDS], "times or durations", SECONDS + 0.5),
    "hours": ([f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}" for s in SECONDS * 20], "times or durations", SECONDS * 20),
    "timedeltas": (pd.to_timedelta(SECONDS * 99, "s").astype(str), "times or durations", SECONDS * 99),
    "months": (DAYS.strftime("%Y-%m"), "months", MONTHS),
    "months of years": (DAYS.strftime("%m/%Y"), "months", MONTHS),
    "quarters": (QUARTERS.astype(str), "quarters", QUARTERS.year + QUARTERS.quarter / 4),
    "quarters of years": (
        [f"Q{day.quarter} {day.year}" for day in DAYS],
        "quarters",
        QUARTERS.year + QUARTERS.quarter / 4,
    ),
    "weeks": (DAYS.strftime("%G-W%V"), "weeks", (DAYS.to_period("W").start_time - pd.Timestamp(0)).days),
    "compact weeks": (DAYS.strftime("%GW%V"), "weeks", (DAYS.to_period("W").start_time - pd.Timestamp(0)).days),
    "free text": ([" ".join(RNG.choice(WORDS, 8)) for _ in range(N)], "free text", None),
    "identifiers": ([f"AB-{i}" for i in range(N)], "identifiers", "dropped"),
    "thousands": ([f"{x:,.2f}" for x in AMOUNTS], "numbers with separators or units", AMOUNTS),
    "dollars": ([f"-${x:,.2f}" for x in AMOUNTS], "numbers with separators or units", -AMOUNTS),
    "kilograms": ([f"{x:.2f} kg" for x in AMOUNTS], "numbers with separators or units", AMOUNTS),
    "commas": ([f"{x:.2f}".replace(".", ",") for x in AMOUNTS], "numbers with separators or units", AMOUNTS),
    "euros": (
        [f"{x:,.2f} €".translate(str.maketrans(",.", ".,")) for x in AMOUNTS],
        "numbers with separators or units",
        AMOUNTS,
    ),
    "points": ([f"{x:,.0f}".replace(",", ".") for x in WHOLE], "numbers with separators or units", WHOLE),
    "spaces": ([f"{x:,.2f}".translate(FRENCH) for x in AMOUNTS], "numbers with separators or units", AMOUNTS),
    "thin spaces": ([f"{x:,}".replace(",", "\u202f") for x in WHOLE], "numbers with separators or units", WHOLE),
    "apostrophes": ([f"{x:,}".replace(",", "'") for x in WHOLE], "numbers with separators or units", WHOLE),
    "Swiss": ([f"CHF {x:,.2f}".replace(",", "\u2019") for x in AMOUNTS], "numbers with separators or units", AMOUNTS),
    "codes before": ([f"EUR {x}" for x in WHOLE], "numbers with separators or units", WHOLE),
    "codes behind": ([f"-{x} USD" for x in WHOLE], "numbers with separators or units", -WHOLE),
    "a word": (
        [f"{i + 1} dollar{'s' * (i > 0)}" for i in range(N)],
        "numbers with separators or units",
        1 + np.arange(N),
    ),
    "a word with a point": ([f"Rs. {x:,}" for x in WHOLE], "numbers with separators or units", WHOLE),
    "percent": (
        [f"{i / 10:.1f} %".replace(".", ",") for i in range(N)],
        "numbers with separators or units",
        np.arange(N) / 10,
    ),
    "other texts": (
        [str(i) if i % 3 else f"none ({i % 7})" for i in range(N)],
        "numbers among which there are other texts",
        np.where(np.arange(N) % 3, np.arange(N), np.nan),
    ),
}


def line_of(message):
    """The last line, which is code."""
    line = str(message).splitlines()[-1]
    assert line.startswith("    ")
    return line.strip()


def executed(line, model, X):
    """The model and the table after the line."""
    if "skrub" in line:
        skrub = pytest.importorskip("skrub")
        return eval(line, {"make_pipeline": make_pipeline, "skrub": skrub, "model": model}), X
    names = {"X": X, "pandas": pd}
    exec(line, names)
    return model, names["X"]


@pytest.mark.parametrize("model", [tabular_pipeline("regressor", **SETTINGS), MLPRegressor(**SETTINGS)])
@pytest.mark.parametrize("case", CASES)
def test_the_line_of_a_warning_helps(case, model):
    values, looks, expected = CASES[case]
    X, y = pd.DataFrame({"note": list(values), "size": np.linspace(-1.0, 1.0, N)}), np.arange(N) % 5.0
    with pytest.warns(UserWarning, match=f"^Column 'note' looks like {looks} .*Each distinct text is now ") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    line = line_of(caught[0].message)
    model, X = executed(line, model, X)
    if expected is None:
        assert "skrub" in line
        kinds = model[0].fit(X).kind_to_columns_
        assert kinds["high_cardinality" if looks == "free text" else "datetime"] == ["note"]
    elif isinstance(expected, str):
        assert list(X) == ["size"]
    else:
        np.testing.assert_array_equal(X["note"].to_numpy(float), expected)
    if isinstance(model, MLPRegressor):
        model.set_params(numeric_encoder="piecewise_linear")  # takes gaps, and numbers of any scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Columns without values|Features differ in scale|Column . is far from zero")
        assert np.isfinite(model.fit(X, y).predict(X)).all()


NOT_SO = {
    "versions": [f"{i // 40}.{i // 8 % 5}.{i % 8}" for i in range(N)],
    "versions of two digits": [f"1.{i // 12}.{i % 12 + 10}" for i in range(N)],
    "addresses": [f"192.168.{i}.{(i * 7) % 255}" for i in range(N)],
    "phones": [f"555.{i + 100}.{i * 37 % 9000 + 1000}" for i in range(N)],
    "phones with a zero": [f"030 {i + 100} {i * 7 % 900 + 100}" for i in range(N)],
    "phones with spaces": [f"+1 212 {i + 100} {i * 7 % 900 + 100}" for i in range(N)],
    "seasons": [f"{i}-{(i + 1) % 100:02}" for i in range(2000, 2012)],
    "goods": [f"ABC {i}" for i in range(N)],
    "dashed": [f"{i % 89 + 10}-{i * 7 % 89 + 10}-{i * 3 % 89 + 10}" for i in range(N)],
    "fruits": [f"1 apricot {i}" for i in range(10, 99)],
    "numbers with letters": [f"cust_{i:05}" for i in range(N)],
    "UUIDs": [str(uuid.UUID(bytes=RNG.bytes(16))) for _ in range(N)],
    "hashes": [RNG.bytes(4).hex() for _ in range(N)],
    "phones with brackets": [f"(212) {i + 100}-{i * 37 % 9000 + 1000}" for i in range(N)],
    "short phones": [f"{i * 7 % 900 + 100}-{i * 37 % 9000 + 1000}" for i in range(N)],
    "zip codes and towns": [f"{i:05} {WORDS[i % 12]}" for i in range(N)],
    "streets": [f"{i} {WORDS[i % 11]} {WORDS[i % 13]}" for i in range(N)],
}


@pytest.mark.parametrize("case", NOT_SO)
def test_texts_that_only_have_digits_are_not_mislabelled(case):
    """Identifiers at most, which these are where they differ in almost every row."""
    X = pd.DataFrame({"note": np.resize(NOT_SO[case], N), "size": np.linspace(-1.0, 1.0, N)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "Features differ in scale")
        tabular_pipeline("regressor", **SETTINGS).fit(X, X["size"])
    assert not [str(one.message) for one in caught if "looks like identifiers" not in str(one.message)]


NUMBERS_IN_TEXTS = {  # which nothing but their user can read
    "debit and credit": ([f"{x:,} {'DR' if x % 2 else 'CR'}" for x in WHOLE], [" CR", " DR"]),
    "one side": ([f"{x:,} CR" for x in WHOLE], [" CR"]),
    "units": ([f"{i + 1} g" if i % 2 else f"{i / 10} kg" for i in range(N)], [" kg", " g"]),
    "coordinates": ([f"{x:.4f},{-y:.4f}" for x, y in RNG.normal(size=(N, 2)) * 30.0], [","]),
    "points": ([f"POINT({x:.4f} {y:.4f})" for x, y in RNG.normal(size=(N, 2)) * 30.0], ["POINT"]),
    "two currencies": ([f"{i} {'USD' if i % 2 else 'EUR'}" for i in range(N)], ["EUR", "USD"]),
    "two signs": ([f"{'$' if i % 2 else '€'}{i}" for i in range(N)], ["$", "€"]),
    "commas and points": ([f"{i}{',' if i % 2 else '.'}25" for i in range(N)], [",25"]),
    "thousands or decimals": ([f"1.{i:03} €" for i in range(N)], ["1.000 €"]),
    "thousands or not": ([f"{1000 + i:,}" if i % 2 else str(2000 + i) for i in range(N)], ["1,"]),
    "metres or millions": ([f"{i}.5m" if i % 2 else f"{i}.5" for i in range(N)], [".5m"]),
    "ranges": ([f"{i}-{i + 10}" for i in range(N)], ["0-10"]),
    "sizes": ([f"{i}x{i + 3}" for i in range(N)], ["0x3"]),
    "scores": ([f"{i // 16}:{i % 16}" for i in range(N)], ["0:0"]),
}


@pytest.mark.parametrize("case", NUMBERS_IN_TEXTS)
def test_numbers_in_doubt_get_no_line(case):
    values, shown = NUMBERS_IN_TEXTS[case]
    X = pd.DataFrame({"note": values, "size": np.linspace(-1.0, 1.0, N)})
    with pytest.warns(UserWarning, match="Column 'note' looks like numbers with other text") as caught:
        tabular_pipeline("regressor")["table"].fit(X, X["size"])
    (message,) = [str(one.message) for one in caught]
    assert "X[" not in message
    assert "drop" not in message
    assert all(text in message for text in shown)


@pytest.mark.parametrize(
    "texts",
    [
        ["5 million", "412345"], ["500 BC", "1200"], ["5%", "0.05"], ["5.2 kg", "300"], ["102 H", "102"],
        ["5.2 kg", "1e5"], ["5.2 kg", "007"], ["5 million", "7 million"], ["5 Tsd.", "12 Tsd."], ["50 BC", "30 BC"],
        ["102 H", "7 H"], ["102 S", "7 S"], ["$5 million", "$6 million"], ["$5MM", "$6MM"], ["5 Tsd. €", "6 Tsd. €"],
        ["5 million USD", "6 million USD"], ["5 pm", "6 pm"], ["5 bn", "7"],
        ["300 K", "295"], ["300.5 K", "295"], ["107B", "10.8K", "1.0M"], ["107B", "108B"], ["10.5m", "3M"],
        ["10.8K", "11.5K"], ["10K", "20K"], ["5m", "12m"], ["3M", "2M"], ["3.6M", "12.5k", "5000"], ["3.5M", "2.5"],
        ["1.459 €", "1.519 €"], ["1.459 €", "2 €"], ["1,459 €", "1,519 €"], ["1,459 €", "2 €"], ["1,459 kg", "2 kg"],
        ["1,459 kg", "2 kg", "950 kg"], ["12,500 kg", "9,800 kg"], ["1,459 €"], ["1,459 €/l", "1,519 €/l"],
        ["12,459 €/MWh", "1,519 €/MWh"], ["120,340", "121,330"], ["1,13", "10,2"], ["1,5", "1,50"],
        ["1,5 €", "1,50 €"], ["120,34 €", "95,2 €", "7,20 €"],
        ["rs10771746", "rs53576"], ["FR11249987923", "FR40303265045"], ["SEK123", "SEK7"], ["TRY-101", "TRY-102"],
        ["Fr104", "Fr105"], ["inr12", "inr13"], ["123A", "124A"], ["00123A", "00124A"], ["007.5 kg", "1.5 kg"],
        ["123456789012345678A"], ["1.5 kg", "inf"], ["1.5 kg", "-Infinity"],
        ["inf kg", *[f"{i} kg" for i in range(40)]], ["$ infinity", *[f"${i}" for i in range(40)]],
    ],
    ids=lambda texts: " ".join(texts[:4]),
)  # fmt: skip
def test_texts_in_doubt_are_not_read(texts):
    assert amount_line("v", texts) == ""


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["$120K", "$80K"], [120e3, 80e3]), (["£100m", "£95m"], [100e6, 95e6]), (["$5B", "$1.2B"], [5e9, 1.2e9]),
        (["950 €", "1.250 €"], [950.0, 1250.0]), (["$12,500", "$9,800"], [12500.0, 9800.0]),
        (["1.250 kg", "2 kg", "950 kg"], [1250.0, 2.0, 950.0]), (["1,234,567", "1,459"], [1234567.0, 1459.0]),
        (["1,459", "2.5"], [1459.0, 2.5]), (["3.6M", "12.5k", "950"], [3.6e6, 12.5e3, 950.0]),
        (["EUR1,250", "EUR950"], [1250.0, 950.0]), (["5 €", "7"], [5.0, 7.0]), (["300 K", "295 K"], [300.0, 295.0]),
        (["3 €/kg", "2.5 €/kg"], [3.0, 2.5]), (["$3 per kg", "$2 per kg"], [3.0, 2.0]), (["100g", "5g"], [100.0, 5.0]),
        (["5 m", "12.5 m"], [5.0, 12.5]), (["CHF 12", "CHF 7"], [12.0, 7.0]), (["EUR12.50", "EUR7.00"], [12.5, 7.0]),
    ],
    ids=lambda texts: " ".join(map(str, texts)),
)  # fmt: skip
def test_texts_that_are_read(texts, numbers):
    X = pd.DataFrame({"v": texts})
    exec(amount_line("v", texts), {"X": X, "pandas": pd})
    assert X["v"].tolist() == numbers


def indian(x):
    """1,25,000: hundreds apart, then pairs of digits."""
    head, tail = str(x)[:-3], str(x)[-3:]
    pairs = [head[max(0, i - 2) : i] for i in range(len(head), 0, -2)]
    return ",".join([*reversed(pairs), tail])


def german(text):
    return text.translate(str.maketrans(",.", ".,"))


MINUS, DASH = "\u2212", "\u2013"
STYLES = {  # of a number of hundredths: the text, and what it means
    "trailing minus": (lambda c: f"{abs(c) / 100:.2f}{'-' * (c < 0)}", lambda c: c / 100),
    "whole with trailing minus": (lambda c: f"{abs(c)}{'-' * (c < 0)}", int),
    "German trailing minus": (lambda c: german(f"{abs(c) / 100:,.2f}{'-' * (c < 0)}"), lambda c: c / 100),
    "trailing minus and currency": (lambda c: german(f"{abs(c) / 100:,.2f}{'-' * (c < 0)} EUR"), lambda c: c / 100),
    "trailing Unicode minus": (lambda c: f"{abs(c)}{MINUS * (c < 0)}", int),
    "brackets": (lambda c: f"({-c:,})" if c < 0 else f"{c:,}", int),
    "brackets behind a currency": (lambda c: f"$({-c / 100:,.2f})" if c < 0 else f"${c / 100:,.2f}", lambda c: c / 100),
    "brackets around both": (lambda c: f"(${-c / 100:,.2f})" if c < 0 else f"${c / 100:,.2f}", lambda c: c / 100),
    "brackets before a unit": (lambda c: f"({-c:,}) kg" if c < 0 else f"{c:,} kg", int),
    "Unicode minus": (lambda c: f"{c / 100:.2f}".replace("-", MINUS), lambda c: c / 100),
    "Unicode minus and currency": (lambda c: f"{MINUS * (c < 0)}€{abs(c) / 100:,.2f}", lambda c: c / 100),
    "dash": (lambda c: f"{c / 100:,.2f} kg".replace("-", DASH), lambda c: c / 100),
    "minus behind a currency": (lambda c: f"${c / 100:,.2f}", lambda c: c / 100),
    "signs": (lambda c: f"{c:+,} m", int),
    "whole euros": (lambda c: german(f"{c:,} €"), int),
    "whole euros in thousands": (lambda c: german(f"{c * 1000:,} €"), lambda c: c * 1000),
    "euros": (lambda c: german(f"{c / 100:,.2f} €"), lambda c: c / 100),
    "three decimals": (lambda c: german(f"{c / 8:,.3f}"), lambda c: c / 8),
    "francs": (lambda c: f"CHF {c}.-", int),
    "multiples": (lambda c: f"{c}M" if c % 3 else f"{c / 10:.1f}k", lambda c: c * 10**6 if c % 3 else c * 100),
    "multiples of dollars": (
        lambda c: f"${c * 10}{['', 'K', 'M', 'bn'][c % 4]}",
        lambda c: c * 10 ** (1 + 3 * (c % 4)),
    ),
    "German multiples": (
        lambda c: f"{german(f'{c / 10:.1f}')} {['Mio.', 'Mrd.'][c % 2]} €",
        lambda c: c * 10 ** (8 if c % 2 else 5),
    ),
    "one multiple": (lambda c: f"{c / 10:.1f}bn", lambda c: c * 10**8),
    "lakhs": (lambda c: f"{'-' * (c < 0)}{indian(abs(c))}", int),
    "rupees": (lambda c: f"₹{indian(abs(c))}.50", lambda c: abs(c) + 0.5),
    "thin spaces": (lambda c: f"{c / 100:,.2f}".translate(str.maketrans(",.", "\u202f,")), lambda c: c / 100),
    "spaces at the ends": (lambda c: f" ({-c:,}) " if c < 0 else f" {c:,}  ", int),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("style", STYLES)
def test_the_line_gives_exactly_the_numbers(style, seed):
    """And missing values for other texts among them."""
    rng = np.random.default_rng(seed)
    cents = [int(c) for c in 10 ** rng.uniform(0, 7, 300) * rng.choice([-1, 1], 300)]
    write, mean = STYLES[style]
    texts, expected = [write(c) for c in cents], np.array([float(mean(c)) for c in cents])
    texts[::50], expected[::50] = ["n/a", "?", "", "3 or 4", "none", "-"], np.nan
    X = pd.DataFrame({"note": texts, "size": np.linspace(-1.0, 1.0, 300)})
    with pytest.warns(UserWarning, match="looks like numbers with separators or units|holds numbers as text") as caught:
        tabular_pipeline("regressor")["table"].fit(X, X["size"])
    _, X = executed(line_of(caught[0].message), None, X)
    np.testing.assert_array_equal(X["note"].to_numpy(float), expected)


def test_long_texts_take_no_time_that_grows_faster_than_they():
    for text in (
        "-" + " " * 100_000 + "x",
        "9" * 100_000 + "x9",
        "1" + ",234" * 30_000 + "x5",
        "(" * 100_000,
        "11," * 30_000,
        ",11" * 30_000,
        "5 " + "k" * 100_000 + "5",
        "5 " + "kr " * 30_000,
    ):
        assert amount_line("note", [text, "5 kg"]) == ""
        assert len(with_numbers([text, f"{text}!"])) in (0, 2)


def test_few_negative_numbers_in_brackets_are_not_lost_silently():
    texts = [str(i) for i in range(1, N)] + ["(1,014)"]
    X = pd.DataFrame({"note": texts, "size": np.linspace(-1.0, 1.0, N)})
    with pytest.warns(
        UserWarning, match=r"count as missing: '\(1,014\)'\. This line reads numbers among them"
    ) as caught:
        tabular_pipeline("regressor")["table"].fit(X, X["size"])
    _, X = executed(line_of(caught[0].message), None, X)
    assert X["note"].tolist() == [*range(1, N), -1014]


def test_floats_among_german_texts_get_no_line():
    """pandas writes the float 5.0 as "5.0", which would become 50."""
    values = [float(i) if i % 2 else f"{i},50 €" for i in range(N)]
    X = pd.DataFrame({"note": values, "size": np.linspace(-1.0, 1.0, N)})
    with pytest.warns(UserWarning, match="looks like numbers with other text"):
        tabular_pipeline("regressor")["table"].fit(X, X["size"])


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (40, "a separate category, and also has a mean target"),
        (N, "replaced by the mean target, or the share of each class, of its rows"),
    ],
)
def test_the_warning_says_how_the_texts_are_encoded(n, said):
    X = pd.DataFrame({"note": np.resize([f"{i} kg" for i in range(n)], 4 * N), "size": np.linspace(-1.0, 1.0, 4 * N)})
    with pytest.warns(UserWarning, match=f"Each distinct text is now {said}\\. This line helps"):
        tabular_pipeline("regressor")["table"].fit(X, X["size"])
    with pytest.warns(UserWarning, match="Each distinct text is now a separate category\\. This line helps"):
        MLPRegressor(**SETTINGS).fit(X, X["size"])


def test_warnings_of_all_columns_come_before_the_error_about_dates():
    X = pd.DataFrame({"sold": DAYS, "price": CASES["dollars"][0], "paid": DAYS, "mass": CASES["kilograms"][0]})
    with (
        pytest.warns(UserWarning, match="numbers with separators or units") as caught,
        pytest.raises(ValueError, match=r"(?s)Column 'sold' .*low_cardinality='passthrough'"),
    ):
        tabular_pipeline("regressor", **SETTINGS).fit(X, np.arange(N) % 5.0)
    assert [re.search("'.*?'", str(one.message))[0] for one in caught] == ["'price'", "'mass'"]


TOWNS = np.resize(["Bonn", "Köln", "Ulm"], N)


@pytest.mark.parametrize(
    ("values", "new", "shown"),
    [
        (TOWNS, [town.upper() for town in TOWNS], "now there is 'BONN'; known are 'Bonn', 'Köln'. They differ in case"),
        (TOWNS, [f"{town} " for town in TOWNS], "now there is 'Bonn '; known are 'Bonn', 'Köln'. They differ in case"),
        (TOWNS, ["Rome"] * 20 + [None] * (N - 20), "now there is 'Rome'; known are 'Bonn', 'Köln'."),
        (np.arange(N) % 2 == 0, ["no", "yes"] * (N // 2), "now there is 'no'; known are '0', '1'."),
    ],
)
@pytest.mark.parametrize("effort", ["default", "best"])
def test_a_column_without_any_known_category_is_warned_of_once(values, new, shown, effort):
    X = pd.DataFrame({"size": np.linspace(-1.0, 1.0, N), "town": values})
    model = tabular_pipeline("regressor", effort=effort, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    model.fit(X, X["size"])
    with pytest.warns(UserWarning, match=f"^Column 'town' has no category .* effect: {re.escape(shown)}") as caught:
        model.predict(X.assign(town=pd.Series(new, dtype=object)))
    assert len(caught) == 1
    assert ("They differ" in str(caught[0].message)) == ("They differ" in shown)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, lambda data: np.array([*data.values()], object).T])
@pytest.mark.parametrize("values", [TOWNS, np.arange(N) % 2 == 0])
def test_the_line_for_another_spelling_helps(values, make):
    """For each kind of table; where the categories are booleans, it gives their texts."""
    X = make({"town": list(map(str, values)), "note": list(map(str, TOWNS))})
    table = tabular_pipeline("regressor")["table"].fit(X, np.arange(N))
    new = make({"town": [str(value).upper() for value in values], "note": [town.upper() for town in TOWNS]})
    with pytest.warns(UserWarning, match="They differ in case") as caught:
        table.transform(new)
    for one in caught:
        line = line_of(one.message)
        (_, mended), (_, trained) = executed(line, None, new), executed(line, None, X)
        column = re.search("Column (.*?) has", str(one.message))[1].strip("'")
        column = int(column) if column.isdigit() else column
        assert mended[column].tolist() == trained[column].tolist()


def test_the_spelling_of_many_identifiers_is_not_looked_at():
    names = [f"a{i:05}" for i in range(10_001)]
    new = factor("v", pd.Series([name.upper() for name in names]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown("v", pd.Series(names), new, names, is_expected=True)
    with pytest.warns(UserWarning, match="They differ in case"):
        warn_of_unknown("v", pd.Series(names), new, names[:-1], is_expected=True)


@pytest.mark.parametrize("new", [["Rome"] * 19 + [None] * (N - 19), ["Rome"] * (N - 1) + ["Ulm"], [None] * N])
def test_no_warning_where_a_category_is_known_or_rows_are_few(new):
    X = pd.DataFrame({"size": np.linspace(-1.0, 1.0, N), "town": TOWNS})
    table = tabular_pipeline("regressor")["table"].fit(X, X["size"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.transform(X.assign(town=pd.Series(new, dtype=object)))


def test_new_identifiers_are_expected_but_not_another_spelling():
    names = [f"{WORDS[i % 13]} {i % 60:02}" for i in range(N)]  # 240 of them, with a mean target each
    names[7] = None
    X = pd.DataFrame({"size": np.linspace(-1.0, 1.0, N), "name": names})
    table = tabular_pipeline("regressor")["table"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Column 'name' looks like identifiers")
        table.fit(X, X["size"])
    assert table.columns_["means"] == ["name"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.transform(X.assign(name=[f"new {i}" for i in range(N)]))
    with pytest.warns(UserWarning, match="now there is 'BAD .*They differ in case"):
        table.transform(X.assign(name=X["name"].str.upper()))


@pytest.mark.parametrize(
    "values",
    [DAYS, DAYS.tz_localize("Europe/Berlin"), DAYS - DAYS[0], DAYS.to_period("M"), list(DAYS.date), list(DAYS.time)],
    ids=["dates", "with a zone", "durations", "periods", "objects", "times"],
)
@pytest.mark.parametrize("model", [tabular_pipeline("regressor", **SETTINGS), MLPRegressor(**SETTINGS)])
def test_the_line_of_an_error_about_dates_helps(values, model):
    if isinstance(values, list) and isinstance(values[0], datetime.time):
        values = [datetime.time(i % 24) for i in range(N)]
    X, y = pd.DataFrame({"size": np.linspace(-1.0, 1.0, N), "when": values}), np.arange(N) % 5.0
    with pytest.raises(ValueError, match=r"Column 'when' holds dates or times \(.*\)\. Convert them") as caught:
        model.fit(X, y)
    line = line_of(caught.value)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Columns without values|Features differ in scale|Column . is far from zero")
        warnings.filterwarnings("ignore", "Column 'when' looks like times")  # of the day, which skrub leaves as texts
        model, X = executed(line, model, X)
        assert np.isfinite(model.fit(X, y).predict(X)).all()


def test_skrub_in_front_can_leave_categories_to_the_network():
    """As the page on tables has it."""
    skrub = pytest.importorskip("skrub")
    X = pd.DataFrame({"sold": DAYS, "town": np.resize(["Bonn", "Köln", "Ulm"], N), "note": CASES["free text"][0]})
    y = (X["town"] == "Köln") + X["sold"].dt.year / 10.0
    vectorizer = skrub.TableVectorizer(low_cardinality="passthrough")
    model = make_pipeline(vectorizer, tabular_pipeline("regressor", **SETTINGS)).fit(X, y)
    assert model[-1]["table"].columns_["categories"] == ["town"]
    assert {"sold_year", "sold_month", "sold_day"} <= set(model[-1]["table"].columns_["numbers"])
    assert np.isfinite(model.predict(X)).all()


def test_gaps_among_numbers_can_be_kept():
    X = pd.DataFrame({"code": [str(i % 40) for i in range(N)]})
    X.loc[::40, "code"] = "?"
    model, y = tabular_pipeline("regressor", **SETTINGS), np.arange(N) % 5.0
    with pytest.warns(UserWarning, match=r"count as missing: '\?'") as caught:
        model.fit(X, y)
    _, X = executed(line_of(caught[0].message), model, X)
    assert model.set_params(table__max_categories=50).fit(X, y)["table"].columns_["categories"] == ["code"]


@pytest.mark.parametrize("as_array", [False, True])
def test_the_line_for_texts_among_numbers_in_predict(as_array):
    X, y = pd.DataFrame({"size": np.linspace(-1.0, 1.0, N), "width": np.arange(N) % 7.0}), np.arange(N) % 5.0
    new = X.astype(object)
    new.loc[3, "size"] = "broken"
    if as_array:
        X, new = X.to_numpy(), new.to_numpy()
    for model in (
        tabular_pipeline("regressor", **SETTINGS),
        MLPRegressor(numeric_encoder="piecewise_linear", **SETTINGS),
    ):
        model.fit(X, y)
        if as_array and isinstance(model, MLPRegressor):
            continue  # scikit-learn's own error
        with pytest.raises(ValueError, match="held numbers in training, but now also 'broken'") as caught:
            model.predict(new)
        _, mended = executed(line_of(caught.value), model, new.copy())
        table = mended.to_numpy(float)
        assert np.isnan(table[3, 0])
        assert np.isfinite(model.predict(table if as_array else mended)).all()
    with pytest.raises(ValueError, match="not in categorical_features") as caught:
        MLPRegressor(numeric_encoder="piecewise_linear", categorical_features=[1], **SETTINGS).fit(pd.DataFrame(new), y)
    assert "pandas.to_numeric" in line_of(caught.value)


def test_lines_for_arrays_and_other_libraries():
    values, _, expected = CASES["kilograms"]
    y = np.arange(N) % 5.0
    for X in (np.array(values, dtype=object)[:, None], pl.DataFrame({"note": values})):
        with pytest.warns(UserWarning, match="numbers with separators") as caught:
            tabular_pipeline("regressor", **SETTINGS).fit(X, y)
        _, table = executed(line_of(caught[0].message), None, X)
        np.testing.assert_array_equal(table.iloc[:, 0].to_numpy(float), expected)


def test_an_ensemble_warns_once():
    X = pd.DataFrame({"note": CASES["identifiers"][0], "size": np.linspace(-1.0, 1.0, N)})
    model = MLPEnsembleRegressor(MLPRegressor((4,), max_iter=1), blend=False, oob_score=True, n_folds=2)
    with pytest.warns(UserWarning, match="looks like identifiers") as caught:
        model.fit(X, X["size"])
    assert len(caught) == 1


def test_categories_that_their_user_named_are_no_matter_of_doubt():
    X = pd.DataFrame({"note": CASES["identifiers"][0], "size": np.linspace(-1.0, 1.0, N)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPRegressor(categorical_features=["note"], **SETTINGS).fit(X, X["size"])
        MLPRegressor(**SETTINGS).fit(X.astype({"note": "category"}), X["size"])
