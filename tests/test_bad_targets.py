"""Targets that are missing, of another kind or width, or no indicators: an error wherever they come in."""

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._nn.losses import LOSSES, losses_for
from skbackprop.data import Shards
from skbackprop.ensemble import MLPEnsembleClassifier

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

PLANNED = {"hidden_layer_sizes": (3,), "learning_rate": "cosine", "max_iter": 2, "random_state": 0}


@pytest.fixture
def data(rng):
    return rng.normal(size=(20, 3)), np.arange(20) % 2


def calls_with(cls, X, known, y):
    """Every way in which targets reach an estimator that knows others, or none yet."""
    shards = {"memory": 100 * X.nbytes // 8, "block_rows": 2}
    rows = np.vstack([X] * 20)
    many, much = Shards(rows, np.concatenate([known] * 20), **shards), np.concatenate([np.asarray(y)] * 20)
    return {
        "fit": lambda: cls(**PLANNED).fit(X, y),
        "lbfgs": lambda: cls(solver="lbfgs").fit(X, y),
        "partial_fit": lambda: cls(random_state=0).partial_fit(X, y),
        "partial_fit again": lambda: cls(random_state=0).partial_fit(X, known).partial_fit(X, y),
        "y_val": lambda: cls(**PLANNED).fit(X, known, X_val=X, y_val=y),
        "y_val of partial_fit": lambda: cls(random_state=0).partial_fit(X, known, X_val=X, y_val=y),
        "score": lambda: cls(**PLANNED).fit(X, known).score(X, y),
        "shards": lambda: cls(**PLANNED).fit(Shards(rows, much, **shards)),
        "shards in memory": lambda: cls(**PLANNED).fit(Shards(rows, much)),
        "shards to validate on": lambda: cls(**PLANNED).fit(many, X_val=Shards(rows, much, **shards)),
    }


def assert_refused(calls, message):
    for way, call in calls.items():
        said = f"{way} takes it"
        try:
            call()
        except ValueError as error:
            said = str(error)
        assert re.search(message, said), (way, said)


MULTILABEL = np.random.default_rng(0).integers(0, 2, (20, 3))
NO_INDICATORS = {
    "-1 and 1": (2 * MULTILABEL - 1, r"values other than 0 and 1, such as \[-1, 1\]"),
    "1 and 2": (MULTILABEL + 1, r"values other than 0 and 1, such as \[1, 2\]"),
    "0 and 2": (2.0 * MULTILABEL, r"values other than 0 and 1, such as \[0.0, 2.0\]"),
    "one number": (np.full_like(MULTILABEL, 7), r"values other than 0 and 1, such as \[7\]"),
    "objects": ((2 * MULTILABEL).astype(object), r"values other than 0 and 1, such as \[0, 2\]"),
    "halves": (0.5 * MULTILABEL, "Unknown label type: continuous"),
    "text": (np.where(MULTILABEL, "1", "0"), "MultiOutputClassifier"),
    "NaN": (np.where(MULTILABEL, np.nan, 1.0), "Input y contains NaN"),
    "None": (np.where(MULTILABEL, None, 1), "Input y contains NaN"),
}


@pytest.mark.parametrize("name", NO_INDICATORS)
def test_multilabel_targets_are_0_and_1(name, data):
    y, message = NO_INDICATORS[name]
    assert_refused(calls_with(MLPSoftmaxClassifier, data[0], MULTILABEL, y), message)
    y = y.copy()
    y[:10] = MULTILABEL[:10]  # wrong in a later block alone
    with pytest.raises(ValueError, match=message.split(",")[0].split(":")[0]):
        MLPSoftmaxClassifier().fit(Shards(data[0], y, memory=300, block_rows=1))


@pytest.mark.parametrize(
    "make",
    [sp.csr_matrix, sp.csc_array, sp.coo_matrix, lambda y: y.astype(bool), lambda y: y.astype(object),
     lambda y: sp.csr_array(y.astype(float)), lambda y: sp.coo_array(y > 0), lambda y: pd.DataFrame(y).astype("Int64")],
    ids=["csr_matrix", "csc_array", "coo_matrix", "bool", "object", "float csr_array", "bool coo_array", "nullable"],
)  # fmt: skip
def test_multilabel_targets_of_any_container_train_to_the_same_bits(make, data):
    X, y = np.vstack([data[0]] * 12), np.vstack([MULTILABEL] * 12)
    w = np.linspace(0.5, 2.0, len(X))
    ways = [
        {"weight_decay": "auto", "early_stopping": True},  # the rows are split, and a selection is held
        {"class_weight": ["balanced", {1: 2.0}, {}], "label_smoothing": 0.1},
        {"solver": "lbfgs", "learning_rate": "auto", "weight_decay": "auto"},
    ]
    for params in ways:
        model = MLPSoftmaxClassifier(**PLANNED | {"max_iter": 3} | params)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            dense = clone(model).fit(X, y, w, X_val=X[:50], y_val=y[:50])
            other = clone(model).fit(X, make(y), w, X_val=X[:50], y_val=make(y[:50]))
        assert_array_equal(other.predict_proba(X), dense.predict_proba(X))
        assert other.validation_loss_curve_ == dense.validation_loss_curve_
        assert other.score(X, make(y), w) == dense.score(X, y, w)
    model = MLPSoftmaxClassifier((3,), class_weight="balanced", random_state=0)
    other, dense = (clone(model).partial_fit(X, of(y)).partial_fit(X, of(y)) for of in (make, np.array))
    assert_array_equal(other.predict_proba(X), dense.predict_proba(X))


TEXT, NUMBERS = np.array(["a", "b"] * 10, dtype=object), np.linspace(-1.0, 1.0, 20)
MISSING = {
    "None": lambda y: put(y, None),
    "pandas.NA": lambda y: put(y, pd.NA),
    "NaN": lambda y: put(y, np.nan),
    "NaT": lambda y: put(y, pd.NaT),
    "list with None": lambda y: put(y, None).tolist(),
    "list with NaN": lambda y: put(y, np.nan).tolist(),
    "pandas": lambda y: pd.Series(put(y, pd.NA).tolist()).convert_dtypes(),
    "category": lambda y: pd.Series(put(y, np.nan), dtype="category"),
    "DataFrame": lambda y: pd.DataFrame({"target": put(y, None)}),
    "polars": lambda y: pl.Series(put(y, None).tolist()),
    "mask": lambda y: np.ma.masked_array(y, mask=np.arange(len(y)) == 5),
}


def put(y, value):
    y = y.astype(object)
    y[5] = value
    return y


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_missing_targets_are_missed(cls, name, data):
    for known in (TEXT, np.arange(20) % 2) if cls is MLPSoftmaxClassifier else (NUMBERS,):
        y = MISSING[name](known)
        calls = calls_with(cls, data[0], known, y)
        if isinstance(y, (list, np.ma.MaskedArray)):  # which are no longer what they were when they are joined
            calls = {way: call for way, call in calls.items() if "shards" not in way}
        assert_refused(calls, r"^(In the validation set .*)?Input y contains NaN")
    with pytest.raises(ValueError, match="Input y contains NaN"):
        cls().fit(Shards(data[0], y))


def test_what_only_looks_like_a_missing_target_is_none(data):
    names = np.where(TEXT == "a", "nan", "None")
    assert MLPSoftmaxClassifier(**PLANNED).fit(data[0], names).classes_.tolist() == ["None", "nan"]
    rest = put(np.arange(20) % 2, None)[6:]  # objects, as a column is whose gaps were dropped
    assert MLPSoftmaxClassifier(**PLANNED).fit(data[0][6:], rest).classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MLPRegressor().fit(data[0], np.where(TEXT == "a", "nan", "1.5"))


@pytest.mark.parametrize("huge", [np.inf, "inf", 10**400], ids=["inf", "text", "integer"])
def test_infinite_targets_of_any_kind(huge, data):
    assert_refused(calls_with(MLPRegressor, data[0], NUMBERS, put(NUMBERS, huge)), "y contains infinity")


def test_labels_of_two_kinds_are_named(data):
    assert_refused(
        calls_with(MLPSoftmaxClassifier, data[0], TEXT, put(TEXT, 3)), "all of one kind, but there are int and str"
    )
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MLPSoftmaxClassifier().partial_fit(data[0], TEXT, classes=["a", "b", None])


@pytest.mark.parametrize("dtype", ["S1", object])
def test_bytes_are_no_labels(dtype, data):
    y = TEXT.astype("S1").astype(dtype)
    message = "^(In the validation set .*)?Labels cannot be bytes. Decode them: y = (.*)[.]$"
    calls = calls_with(MLPSoftmaxClassifier, data[0], TEXT, y)
    later = {way: calls.pop(way) for way in ("partial_fit again", "y_val", "y_val of partial_fit", "score")}
    assert_refused({"ensemble": lambda: MLPEnsembleClassifier().fit(data[0], y)} | calls, message)
    assert_refused(later, rf"{message}|y holds the labels \[b'a', b'b'\]")
    assert_array_equal(np.char.decode(np.asarray(y, dtype=bytes)), TEXT)
    with pytest.raises(ValueError, match="Labels cannot be bytes"):
        MLPSoftmaxClassifier().fit(data[0], np.array([b"\xc3\xa4", "b"] * (len(TEXT) // 2), dtype=object))


@pytest.mark.parametrize("empty", [[], np.array([])])
def test_classes_are_not_empty(empty, data):
    with pytest.raises(ValueError, match="classes is empty"):
        MLPSoftmaxClassifier().partial_fit(data[0], TEXT, classes=empty)
    model = MLPSoftmaxClassifier().partial_fit(data[0], TEXT)
    with pytest.raises(ValueError, match="differs from the classes of the first call"):
        model.partial_fit(data[0], TEXT, classes=empty)
    with pytest.raises(ValueError, match="all of one kind, but there are int and str"):
        model.partial_fit(data[0], TEXT, classes=np.array(["a", 1], dtype=object))


@pytest.mark.parametrize("loss", losses_for("regression"))
def test_validation_targets_have_the_width_of_y(loss, data):
    X, y = data[0], NUMBERS + 2.0
    two = np.stack([y, y], axis=1)
    model = MLPRegressor(loss=loss, **PLANNED)
    for known, other in ((y, two), (y[:, None], two), (two, y), (two, y[:, None])):
        n = other.size // len(y)
        message = f"y has {n} targets, but the model was started with {3 - n}"
        with pytest.raises(ValueError, match=f"In the validation set .*{message}"):
            model.fit(X, known, X_val=X, y_val=other)
        with pytest.raises(ValueError, match=f"In the validation set .*{message}"):
            model.fit(X, known, X_val=Shards(X, other, memory=300, block_rows=1))
        fitted = clone(model).set_params(warm_start=True).fit(X, known)
        with pytest.raises(ValueError, match=message):
            fitted.fit(Shards(X, other))
        with pytest.raises(ValueError, match=message):
            fitted.score(X, other)
    column = model.fit(X, y, X_val=X, y_val=y[:, None]).validation_loss_curve_
    assert column == model.fit(X, y, X_val=X, y_val=y).validation_loss_curve_
    if LOSSES[loss].lower is not None:
        with pytest.raises(ValueError, match=r"In the validation set .*the smallest target is -"):
            model.fit(X, y, X_val=X, y_val=-y)


def test_validation_labels_are_of_the_kind_of_y(data):
    X, single = data[0], np.arange(20) % 2
    for known, other, message in (
        (single, MULTILABEL, r"one label per row.*\(20, 3\)"),
        (MULTILABEL, single, r"indicator with 3 columns, got shape \(20,\)"),
        (MULTILABEL, MULTILABEL[:, :2], r"indicator with 3 columns, got shape \(20, 2\)"),
    ):
        with pytest.raises(ValueError, match=f"In the validation set .*{message}"):
            MLPSoftmaxClassifier(**PLANNED).fit(X, known, X_val=X, y_val=other)


def test_shards_of_targets_of_two_widths(data):
    X, y = data[0], NUMBERS
    with pytest.raises(ValueError, match=r"first shard's have the shape \(n_samples,\), another's \(n_samples, 2\)"):
        Shards([X, X], [y, np.stack([y, y], axis=1)])
