"""The selection that tells how noisy the targets are, and how long to train."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from curves import curve
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._checks.constraints import fit_spec
from skbackprop._fit.dataset import ArrayDataset
from skbackprop._fit.fit import _loss_on_others, prepare
from skbackprop._fit.fitted_model import Features, Untrained
from skbackprop._fit.selection import FEWEST_ROWS, MOST_ROWS, select_regime
from skbackprop._fit.spec import REGIMES, UNKNOWN, Regime
from skbackprop._fit.state import TrainState
from skbackprop._fit.targets import LabelCodec, NumberCodec


def spec_of(model):
    return fit_spec(model)


@pytest.mark.parametrize(("noise", "regimes"), [(0.0, ["clean", "mixed"]), (30.0, ["noisy"])])
@pytest.mark.parametrize("kind", ["regression", "classification", "multilabel"])
def test_the_race_tells_noise(kind, noise, regimes):
    X, y = curve(1500, noise)
    if kind == "classification":
        y = np.where(y > 1.0, "high", "low")
    elif kind == "multilabel":
        y = np.stack([y > 0.5, y > 1.0], axis=1).astype(int)
    cls = MLPRegressor if kind == "regression" else MLPSoftmaxClassifier
    model = cls((60, 60), dropout="auto", random_state=0).fit(X, y)
    (won,) = (r for r in REGIMES.values() if r.weight_decay == model.auto_params_["weight_decay"])
    assert won in [REGIMES[name] for name in regimes]
    assert model.auto_params_["dropout"] == won.dropout == model._network.dropout[1]


def test_the_winner_is_worth_it():
    """Noise needs the decay, and would be learned by heart without it."""
    X, y = curve(600, 4.0)
    X_test, y_test = curve(4000, 0.0, seed=1)
    raced = MLPRegressor(random_state=0).fit(X, y)
    clean = clone(raced).set_params(weight_decay=REGIMES["clean"].weight_decay).fit(X, y)
    assert ((raced.predict(X_test) - y_test) ** 2).mean() < 0.7 * ((clean.predict(X_test) - y_test) ** 2).mean()


def test_what_the_user_fixed_stays(digits):
    X, y = digits[0][:400], digits[1][:400]
    model = MLPSoftmaxClassifier((20,), weight_decay=0.2, dropout="auto", random_state=0).fit(X, y)
    assert "weight_decay" not in model.auto_params_
    assert model._settings.weight_decay == 0.2
    assert model.n_iter_ == model.auto_params_["epochs"]
    assert model.auto_params_["dropout"] in {regime.dropout for regime in REGIMES.values()}


def test_few_rows_have_no_race_to_be_told_of():
    X, y = curve(FEWEST_ROWS - 1, 0.0)
    model = MLPRegressor((5,), random_state=0).fit(X, y)
    assert_array_equal(clone(model).set_params(**model.auto_params_).fit(X, y).coefs_[0], model.coefs_[0])


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_without_rows_to_spare_there_is_no_race(digits, capsys):
    X, y = curve(FEWEST_ROWS - 1, 0.0)
    assert (
        MLPRegressor((5,), verbose=True, random_state=0).fit(X, y).auto_params_["weight_decay"] == UNKNOWN.weight_decay
    )
    X, y = digits
    MLPSoftmaxClassifier((5,), verbose=True, max_iter=1, random_state=0).fit(X[:300], np.arange(300))
    assert "selection" not in capsys.readouterr().out
    MLPSoftmaxClassifier((5,), verbose=True, max_iter=1, random_state=0).fit(X[:300], y[:300])
    assert "selection" in capsys.readouterr().out


def test_the_reasons_are_told(capsys):
    X, y = curve(600, 0.0)
    model = MLPRegressor((8,), dropout="auto", verbose=1, random_state=0).fit(X, y)
    decay, epochs = model.auto_params_["weight_decay"], model.auto_params_["epochs"]
    lines = capsys.readouterr().out.splitlines()
    losses = dict(selected(line) for line in lines if line.startswith("selection"))
    (short, shorter), (long, longer) = sorted(losses.items())
    assert f"weight_decay {decay:g} (of 0.05, 0.5, 2): lowest loss on 120 held-out rows" in lines
    assert f"dropout {model.auto_params_['dropout']:g} (of 0, 0.1): lowest loss on 120 held-out rows" in lines
    gain = 1.0 - min(longer.values()) / min(shorter.values())
    assert min(longer, key=longer.get) == decay
    told = next(line for line in lines if line.startswith(f"epochs {epochs}: the loss fell by "))
    assert told.endswith(f"% from {short} to {long} epochs")
    # of losses that were printed with six decimals
    assert float(told.split("fell by ")[1].split("%")[0]) == pytest.approx(100.0 * gain, abs=0.1)


@pytest.mark.parametrize(
    ("weight_decay", "what", "label"), [("auto", "weight_decay and dropout", ""), (0.3, "dropout", "weight_decay ")]
)
def test_what_was_selected_is_named(weight_decay, what, label, capsys):
    X, y = curve(600, 0.0)
    model = MLPRegressor((8,), dropout="auto", weight_decay=weight_decay, max_iter=2, verbose=1, random_state=0)
    lines = model.fit(X, y) and capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"selection of {what}, 2 epochs of small networks: loss ")
    assert f" for {label}0.05, " in lines[0]
    told = [line.split(" ")[0] for line in lines if "held-out rows" in line]
    assert told == what.split(" and ")


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_without_a_winner_the_reason_is_told(capsys):
    X, y = curve(600, 0.0)
    cases = [
        (MLPRegressor, X, np.ones(600), "the losses are equal"),
        (MLPRegressor, X[:50], y[:50], "too few rows to compare others"),
        (MLPSoftmaxClassifier, X, np.arange(600), "no class can spare a row to compare others"),
    ]
    for kind, X_part, y_part, why in cases:
        kind((8,), dropout="auto", max_iter=1, verbose=1, random_state=0).fit(X_part, y_part)
        lines = capsys.readouterr().out.splitlines()
        for name, value in (("weight_decay", UNKNOWN.weight_decay), ("dropout", UNKNOWN.dropout)):
            assert f"{name} {value:g}: suits most data; {why}" in lines


def selected(line):
    """Epochs of a line about the selection, and the loss for each decay."""
    losses = [part.split(" for ") for part in line.split("loss ")[1].split(", ")]
    return int(line.split(",")[1].split()[0]), {float(decay): float(loss) for loss, decay in losses}


def test_the_race_is_seeded_and_leaves_no_trace(digits):
    X, y = digits[0][:400], digits[1][:400]
    one, two = (MLPSoftmaxClassifier((20,), random_state=0).fit(X, y) for _ in range(2))
    assert_array_equal(one.coefs_[0], two.coefs_[0])
    assert len(one.loss_curve_) == one.n_iter_
    assert one.coefs_[0].dtype == np.float64
    fixed = MLPSoftmaxClassifier((20,), random_state=0, weight_decay=0.5).fit(X, y)
    assert fixed.get_params()["hidden_layer_sizes"] == one.get_params()["hidden_layer_sizes"] == (20,)


def test_the_race_sees_weights_and_sparse_rows():
    """Rows of weight zero are noise: they must not count."""
    X, y = curve(1200, 0.0)
    _, noise = curve(1200, 8.0, seed=1)
    both, targets = np.vstack([X, X]), np.r_[y, noise]
    weights = np.r_[np.ones(1200), np.zeros(1200)]
    for rows in (both, sp.csr_array(both)):
        model = MLPRegressor((60, 60), batch_size=32, random_state=0).fit(rows, targets, weights)
        assert model.auto_params_["weight_decay"] < REGIMES["noisy"].weight_decay
        model.fit(rows, targets, 1.0 - weights)
        assert model.auto_params_["weight_decay"] == REGIMES["noisy"].weight_decay


def test_a_race_copies_no_more_rows_than_it_needs():
    X, y = np.zeros((MOST_ROWS + 5000, 1)), np.zeros(MOST_ROWS + 5000)
    seen = []
    sample = ArrayDataset(X, y, None)

    def judge(spec, seed, *parts):
        seen.append([len(part) for part in parts])
        return 0.0

    select_regime(spec_of(MLPRegressor()), sample, lambda y: None, np.random.RandomState(0), judge, len(sample))
    assert seen == [[MOST_ROWS * 4 // 5, MOST_ROWS // 5]] * 3


def select(losses, n_rows=1000, n_sample=1000, **params):
    """What is selected if trainings end with these losses, by their length in epochs and by their regime."""
    made = []

    def judge(spec, seed, *parts):
        regime = {regime.weight_decay: name for name, regime in REGIMES.items()}[spec.weight_decay]
        made.append((spec.epochs, regime))
        return losses[spec.epochs][regime]

    sample = ArrayDataset(np.zeros((n_sample, 1)), np.zeros(n_sample), None)
    spec = spec_of(MLPRegressor(dropout="auto", **params))
    return select_regime(spec, sample, lambda y: None, np.random.RandomState(0), judge, n_rows), made


SHORT = {"clean": 1.0, "mixed": 1.03, "noisy": 1.01}


@pytest.mark.parametrize(
    ("longer", "winner", "length"),
    [
        ({"clean": 1.3, "noisy": 1.0}, "clean", 0.25),  # no better: enough
        ({"clean": 1.3, "noisy": 0.98}, "noisy", 0.5),
        ({"clean": 0.96, "noisy": 1.3}, "clean", 1.0),  # much better: more will be better still
        ({"clean": 0.85, "noisy": 0.86}, "clean", 1.5),
        ({"clean": np.inf, "noisy": np.inf}, "clean", 0.25),
    ],
)
def test_the_length_follows_what_twice_the_length_brings(longer, winner, length):
    found, made = select({5: SHORT, 9: longer})
    assert found == replace(REGIMES[winner], length=length)
    assert made == [(5, name) for name in REGIMES] + [(9, "clean"), (9, "noisy")]  # the worst was dropped


def test_regimes_that_are_clearly_worse_are_dropped():
    found, made = select({5: {"clean": 1.0, "mixed": 1.03, "noisy": 1.03}, 9: {"clean": 0.99}})
    assert found == replace(REGIMES["clean"], length=0.5)
    assert made == [(5, name) for name in REGIMES] + [(9, "clean")]
    _, made = select({5: {"clean": 1.0, "mixed": 1.01, "noisy": 1.011}, 9: dict.fromkeys(REGIMES, 0.99)})
    assert made == [(5, name) for name in REGIMES] + [(9, "clean"), (9, "mixed")]


def test_more_rows_than_were_seen_take_less_regularisation_and_not_as_many_more_steps():
    epochs, noisy = {4: SHORT, 8: {"clean": 1.0, "noisy": 0.98}}, REGIMES["noisy"]
    found, _ = select(epochs, n_rows=80_000, n_sample=MOST_ROWS)
    assert found == Regime(noisy.weight_decay / 4, noisy.dropout / 4, length=0.5 / 2)
    epochs[8]["noisy"] = 0.95  # still learning
    found, _ = select(epochs, n_rows=80_000, n_sample=MOST_ROWS)
    assert found == Regime(noisy.weight_decay / 4, noisy.dropout / 4, length=1.0)


def test_a_perfect_loss_leaves_nothing_to_learn():
    found, _ = select({5: SHORT | {"clean": 0.0}, 9: {"clean": 0.0, "noisy": 0.0}})
    assert found == replace(REGIMES["clean"], length=0.25)


def test_a_loss_without_a_zero_tells_a_regime_but_no_length():
    below_zero = {name: loss - 2.0 for name, loss in SHORT.items()}
    for longer, winner in ({"clean": 0.0, "noisy": 0.0}, "clean"), ({"clean": 0.0, "noisy": -1.2}, "noisy"):
        found, _ = select({5: below_zero, 9: longer}, loss="gaussian")
        assert found == REGIMES[winner]


def test_a_length_that_was_named_is_not_exceeded():
    for params in ({"epochs": 3}, {"max_iter": 3}, {"learning_rate": "cosine", "max_iter": 3}):
        found, made = select({3: SHORT}, **params)
        assert made == [(3, name) for name in REGIMES]
        assert (found.weight_decay, found.dropout) == (REGIMES["clean"].weight_decay, REGIMES["clean"].dropout)


def test_the_plan_is_shorter_where_there_is_less_to_learn():
    """Noise around a straight line is learned by the shortest plan, a smooth curve by the longest."""
    X, y = curve(2000, 0.0)
    curved = MLPRegressor((40, 40), random_state=0).fit(X, y)
    straight = MLPRegressor((40, 40), random_state=0).fit(X, X[:, 0] + curve(2000, 3.0)[1] - y)
    assert straight.auto_params_["epochs"] == straight.n_iter_ == 4
    assert curved.auto_params_["epochs"] == curved.n_iter_ == 16


def test_a_race_in_which_all_diverge_leaves_the_fit_to_tell():
    X, y = curve(400, 0.0)
    spec = spec_of(MLPRegressor((3,)))
    data = ArrayDataset(X * 1e200, y, None)  # beyond float32
    start = Untrained(NumberCodec.learn(y, spec), Features(10))
    assert prepare(spec, data, None, start, TrainState(np.random.RandomState(0))).regime is UNKNOWN


def test_a_tie_tells_nothing():
    X, y = curve(400, 0.0)
    # a single step from weights of zero, which nothing can decay
    model = MLPRegressor((), dropout="auto", epochs=1, batch_size=400, random_state=0).fit(X, y)
    assert model.auto_params_["dropout"] == UNKNOWN.dropout
    assert model.auto_params_["weight_decay"] == UNKNOWN.weight_decay


def test_ctrl_c_in_the_race_leaves_the_earlier_fit(digits, monkeypatch):
    X, y = digits
    model = MLPSoftmaxClassifier((20,), random_state=0, max_iter=2).fit(X[:400], y[:400])
    before = copy.deepcopy(model.coefs_)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("skbackprop._fit.fit._loss_on_others", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert all(map(np.array_equal, model.coefs_, before))


@pytest.mark.parametrize("seed", range(4))
def test_class_weights_are_sample_weights_in_the_race_too(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(800, 10))
    y = (X[:, 0] - 2.6 + rng.normal(size=800) > 0).astype(int)
    by_class = MLPSoftmaxClassifier((30,), class_weight={0: 1, 1: 20}, random_state=0).fit(X, y)
    by_row = MLPSoftmaxClassifier((30,), random_state=0).fit(X, y, np.where(y, 20.0, 1.0))
    assert by_class.auto_params_ == by_row.auto_params_
    assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])


def test_class_weights_of_zero_leave_nothing_to_judge_by():
    X, y = curve(400, 0.0)
    y = np.r_[np.ones(1, int), np.zeros(399, int)]
    model = MLPSoftmaxClassifier((5,), class_weight={0: 0.0}, max_iter=2, random_state=0).fit(X, y)
    assert model.auto_params_["weight_decay"] == UNKNOWN.weight_decay


def test_every_loss_can_race():
    X, y = curve(400, 0.5)
    for loss in ("absolute_error", "huber", "quantile", "gaussian", "poisson", "gamma"):
        targets = np.exp(y) if loss in ("poisson", "gamma") else np.stack([y, -y], axis=1)
        model = MLPRegressor((10,), loss=loss, max_iter=2, random_state=0).fit(X, targets)
        assert model.auto_params_["weight_decay"] in {regime.weight_decay for regime in REGIMES.values()}
    for loss in ("brier", "focal"):
        model = MLPSoftmaxClassifier((10,), loss=loss, class_weight="balanced", max_iter=2, random_state=0).fit(
            X, y > 0
        )
        assert model.auto_params_["weight_decay"] in {regime.weight_decay for regime in REGIMES.values()}


def test_rows_to_judge_by_are_weighted_by_the_rows_that_were_trained_on(rng):
    """Were they counted too, balanced weights would depend on what they judge."""
    X, y = rng.normal(size=(200, 3)), np.repeat([0, 1], 100)
    trained, judged = np.r_[:90, 100:110], np.r_[90:100, 110:200]
    model = MLPSoftmaxClassifier(
        (4,), class_weight="balanced", learning_rate="cosine", max_iter=3, weight_decay=0.1, random_state=0
    ).fit(X[trained], y[trained])
    parts = (ArrayDataset(X[rows], y[rows], None) for rows in (trained, judged))
    factors = compute_class_weight("balanced", classes=np.array([0, 1]), y=y[trained])
    expected = log_loss(y[judged], model.predict_proba(X[judged]), sample_weight=factors[y[judged]])
    assert_allclose(_loss_on_others(LabelCodec, spec_of(model), 0, *parts), expected, rtol=1e-12)
