"""Columns that are neither numbers nor categories: the line that a message shows is one that helps."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline

from skbackprop import MLPRegressor, tabular_pipeline
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
    with pytest.warns(UserWarning, match=f"^Column 'note' looks like {looks} .*Each distinct text is now a") as caught:
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
    "scores": [f"{i // 16}:{i % 16}" for i in range(N)],
    "scores of points": [f"{i // 20 + 15}:{i % 20 + 12}" for i in range(N)],
    "seasons": [f"{i}-{(i + 1) % 100:02}" for i in range(2000, 2012)],
    "goods": [f"ABC {i}" for i in range(N)],
    "dashed": [f"{i % 89 + 10}-{i * 7 % 89 + 10}-{i * 3 % 89 + 10}" for i in range(N)],
    "two currencies": [f"{i} {'USD' if i % 2 else 'EUR'}" for i in range(N)],
    "two signs": [f"{'$' if i % 2 else '€'}{i}" for i in range(N)],
    "commas and points": [f"{i}{',' if i % 2 else '.'}25" for i in range(N)],
    "thousands or decimals": [f"{300 * i:,} €".replace(",", ".") for i in range(1, N)],
    "fruits": [f"1 apricot {i}" for i in range(10, 99)],
    "ranges": [f"{i}-{i + 10}" for i in range(N)],
    "sizes": [f"{i}x{i + 3}" for i in range(N)],
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
