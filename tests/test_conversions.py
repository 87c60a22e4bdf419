"""To and from scikit-learn's MLP and torch's modules: the same predictions, and the same training after."""

import dataclasses
import pickle
import sys
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.losses import losses_for

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*has no effect"),  # the sweeps combine all with all
]
# the same float64 sums in another order, with factors multiplied into the weights first
SAME = {"rtol": 1e-9, "atol": 1e-11}
SAME32 = {"rtol": 1e-3, "atol": 1e-4}  # float32 has seven digits, of which these sums lose some
KINDS = ["two classes", "three classes", "multilabel"]


def problem(kind, rng, n=90):
    X = rng.standard_normal((n, 6))
    v = X[:, :3] + 0.5 * rng.standard_normal((n, 3))
    if kind == "two classes":
        return X, np.where(v[:, 0] > 0, "yes", "no")
    if kind == "three classes":
        return X, np.asarray(["ash", "elm", "oak"])[np.argmax(v, axis=1)]
    if kind == "multilabel":
        return X, (v > 0).astype(int)
    y = np.exp(0.5 * v) * np.asarray([1.0, 50.0, 0.1])
    return X, y[:, 1] if kind == "one target" else y


def fitted(model, X, y):
    """A few epochs away from the start, which has an output layer of zeros."""
    return model.set_params(max_iter=6, learning_rate_init=0.02, random_state=0).fit(X, y)


def same_posteriors(ours, theirs, X, tolerance=SAME):
    assert_array_equal(ours.predict(X), theirs.predict(X))
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **tolerance)
    assert ours.predict_proba(X).std() > 0.02  # they tell rows apart
    assert_array_equal(ours.classes_, theirs.classes_)


# ----------------------------------------------------------------------------- to scikit-learn ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (5,), (7, 4)])
def test_classifier_to_scikit_learn(kind, activation, hidden, rng):
    X, y = problem(kind, rng)
    for loss, input_scale in zip(losses_for("classification"), (True, False, 2.0), strict=True):
        model = MLPSoftmaxClassifier(hidden, activation, loss=loss, input_scale=input_scale, random_state=0)
        theirs = fitted(model, X, y).to_sklearn()
        assert type(theirs) is MLPClassifier
        same_posteriors(model, theirs, X)


@pytest.mark.parametrize("kind", ["one target", "three targets"])
@pytest.mark.parametrize("loss", losses_for("regression"))
def test_regressor_to_scikit_learn(kind, loss, rng):
    X, y = problem(kind, rng)
    for hidden, scale_target in product([(), (7, 4)], [True, False]):
        model = MLPRegressor(hidden, "tanh", loss=loss, scale_target=scale_target, input_scale=True, random_state=0)
        theirs = fitted(model, X, y).to_sklearn()
        assert theirs.predict(X).shape == y.shape
        assert_allclose(theirs.predict(X), model.predict(X), **SAME)
        assert model.predict(X).std() > 0


@pytest.mark.parametrize("hidden", [(), (7,), (7, 4), (7, 4, 5)])
@pytest.mark.parametrize("loss", ["squared_error", "gaussian"])
def test_members_stand_side_by_side(hidden, loss, rng):
    X, y = problem("three targets", rng)
    model = fitted(MLPRegressor(hidden, loss=loss, n_members=3, input_scale=True), X, y)
    # linear members start and stay the same: set them apart
    model.coefs_[-1] = model.coefs_[-1] + 0.1 * rng.standard_normal(model.coefs_[-1].shape)
    theirs = model.to_sklearn()
    assert theirs.hidden_layer_sizes == tuple(3 * n for n in hidden)
    assert_allclose(theirs.predict(X), model.predict(X), **SAME)
    assert np.ptp(model.predict(X, return_members=True)[1], axis=0).max() > 0.01


def test_float32_stays(rng):
    X, y = problem("three classes", rng)
    X = X.astype(np.float32)
    model = fitted(MLPSoftmaxClassifier((7,)), X, y)
    theirs = model.to_sklearn()
    assert {W.dtype for W in theirs.coefs_} == {np.dtype(np.float32)}
    same_posteriors(model, theirs, X, SAME32)
    same_posteriors(MLPSoftmaxClassifier.from_sklearn(theirs), theirs, X, SAME32)


@pytest.mark.parametrize(
    ("model", "kind", "why"),
    [
        (MLPSoftmaxClassifier((4,), "gelu"), "two classes", "activation='gelu'"),
        (MLPSoftmaxClassifier((4, 4), ["relu", "tanh"]), "two classes", "different activations"),
        (MLPSoftmaxClassifier((4,), n_members=2), "two classes", "n_members=2 networks behind a softmax link"),
        (MLPSoftmaxClassifier((4,), n_members=2), "multilabel", "n_members=2 networks behind a logistic link"),
        (MLPRegressor((4,), loss="poisson", n_members=2), "one target", "behind a exp link"),
        (MLPRegressor((4,), loss="quantile", quantile=[0.1, 0.9]), "one target", "list of quantiles"),
    ],
)
def test_what_scikit_learn_cannot_represent(model, kind, why, rng):
    with pytest.raises(ValueError, match=rf"No MLP of scikit-learn predicts the same .*{why}"):
        fitted(model, *problem(kind, rng)).to_sklearn()


def test_a_single_class_cannot_go(rng):
    X, _ = problem("two classes", rng)
    with pytest.raises(ValueError, match="knows a single class"):
        fitted(MLPSoftmaxClassifier((4,)), X, np.zeros(len(X))).to_sklearn()


@pytest.mark.parametrize("model", [MLPSoftmaxClassifier(), MLPRegressor()])
def test_unfitted_models_cannot_go(model):
    with pytest.raises(NotFittedError):
        model.to_sklearn()


def test_parameters_that_have_a_counterpart_go_along(rng):
    X, y = problem("three classes", rng)
    model = MLPSoftmaxClassifier(
        (7,), solver="sgd", learning_rate="invscaling", learning_rate_init=0.03, alpha=0.9, batch_size=30,
        momentum=0.5, max_iter=4, early_stopping=True, validation_fraction=1 / 3, random_state=5,
    ).fit(X, y)  # fmt: skip
    theirs = model.to_sklearn()
    expected = {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.03, "batch_size": 30,
                "momentum": 0.5, "max_iter": 4, "early_stopping": True, "random_state": 5}  # fmt: skip
    assert expected.items() <= theirs.get_params().items()
    assert theirs.alpha == pytest.approx(0.9 * 30 / 60)  # 60 rows were trained on
    planned = fitted(MLPSoftmaxClassifier((7,), solver="lion"), X, y).to_sklearn()
    assert (planned.solver, planned.learning_rate, planned.learning_rate_init) == ("adam", "constant", 0.001)


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam", "learning_rate": "constant"},
        {"solver": "sgd", "learning_rate": "constant", "early_stopping": True},
        {"solver": "lbfgs"},
    ],
)
def test_scikit_learn_can_train_on(params, rng):
    X, y = problem("three classes", rng)
    y = np.unique(y, return_inverse=True)[1]  # scikit-learn 1.7 stops early with numbers only
    model = fitted(MLPSoftmaxClassifier((7,), warm_start=True, **params), X, y)
    theirs = model.to_sklearn()
    before = log_loss(y, theirs.predict_proba(X))
    assert log_loss(y, theirs.set_params(max_iter=30).fit(X, y).predict_proba(X)) < before
    if params["solver"] != "lbfgs" and not theirs.early_stopping:
        theirs.partial_fit(X, y)
    assert log_loss(y, clone(theirs).set_params(warm_start=False).fit(X, y).predict_proba(X)) < np.log(3.0)


def test_the_optimizer_starts_there_with_an_empty_memory(rng):
    X, y = problem("three classes", rng)
    rule = {"alpha": 0.0, "epsilon": 1e-16, "batch_size": 90}  # where epsilon is added differs, see peers.py
    model = fitted(MLPSoftmaxClassifier((7,), **rule), X, y)
    theirs = model.to_sklearn().set_params(shuffle=False, learning_rate_init=0.01)
    start = model.coefs_[0].copy()
    model.set_params(shuffle=False, learning_rate="constant", learning_rate_init=0.01).partial_fit(X, y)
    theirs.partial_fit(X, y)
    assert_allclose(theirs.coefs_[0], model.coefs_[0], rtol=1e-7)  # of a step, where a difference is divided
    assert abs(model.coefs_[0] - start).max() == pytest.approx(0.01, rel=1e-3)  # Adam's first step


# --------------------------------------------------------------------------- from scikit-learn ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("hidden", [(), [7, 4], 5])
def test_classifier_from_scikit_learn(kind, solver, hidden, rng):
    X, y = problem(kind, rng)
    for activation in ("identity", "logistic", "tanh", "relu"):
        theirs = MLPClassifier(hidden, activation, solver=solver, max_iter=10, learning_rate_init=0.02, random_state=0)
        model = MLPSoftmaxClassifier.from_sklearn(theirs.fit(X, y))
        same_posteriors(model, theirs, X)
        assert model.n_iter_ == theirs.n_iter_
        assert model.loss_ == theirs.loss_
        assert model.t_ == theirs.t_


@pytest.mark.parametrize("kind", ["one target", "three targets"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressor_from_scikit_learn(kind, loss, rng):
    X, y = problem(kind, rng)
    y = y / y.mean(axis=0)
    theirs = TheirRegressor(loss=loss, hidden_layer_sizes=(7, 4), activation="tanh", max_iter=30, random_state=0).fit(
        X, y
    )
    model = MLPRegressor.from_sklearn(theirs)
    assert_allclose(model.predict(X), theirs.predict(X), **SAME)
    assert model.predict(X).shape == y.shape
    assert_allclose(model.score(X, y), theirs.score(X, y), **SAME)


def test_there_and_back(rng):
    X, y = problem("two classes", rng)
    model = fitted(MLPSoftmaxClassifier((7,)), X, y)
    same_posteriors(model, MLPSoftmaxClassifier.from_sklearn(model.to_sklearn()), X)


def test_it_is_a_copy(rng):
    X, y = problem("three classes", rng)
    theirs = MLPClassifier((7,), max_iter=3, random_state=0).fit(X, y)
    before = theirs.predict_proba(X)
    MLPSoftmaxClassifier.from_sklearn(theirs).coefs_[0][:] = 0.0
    fitted(MLPSoftmaxClassifier((7,)), X, y).to_sklearn().coefs_[0][:] = 0.0
    assert_array_equal(theirs.predict_proba(X), before)


@pytest.mark.parametrize("kind", ["three classes", "one target"])
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd", "alpha": 3.0, "learning_rate_init": 0.01, "batch_size": 30},
        {"solver": "adam", "alpha": 3.0, "epsilon": 1e-16},  # where it is added differs, see peers.py
    ],
    ids=["sgd", "adam"],
)
def test_training_goes_on_as_theirs(kind, params, rng):
    """The objective is the same, penalty included: a warm start of either takes the same steps."""
    X, y = problem(kind, rng)
    y = y if kind == "three classes" else (y - y.mean()) / y.std()
    theirs, cls = (MLPClassifier, MLPSoftmaxClassifier) if kind == "three classes" else (TheirRegressor, MLPRegressor)
    theirs = theirs(hidden_layer_sizes=(7,), activation="tanh", shuffle=False, warm_start=True, max_iter=5, **params)
    model = cls.from_sklearn(theirs.fit(X, y))
    assert model.alpha == pytest.approx(3.0 * 90 / model.batch_size)
    start = model.coefs_[0].copy()
    theirs.fit(X, y)
    model.fit(X, y)
    for W, V in zip(model.coefs_, theirs.coefs_, strict=True):
        assert_allclose(W, V, rtol=1e-7, atol=1e-9)  # rounding grows over the epochs
    assert abs(model.coefs_[0] - start).max() > 1e-3


def test_lbfgs_minimises_the_same(rng):
    X, y = problem("three classes", rng)
    theirs = MLPClassifier(
        (), solver="lbfgs", alpha=2.0, max_iter=500, tol=1e-8, early_stopping=True, random_state=0
    ).fit(X, y)
    model = MLPSoftmaxClassifier.from_sklearn(theirs).set_params(warm_start=True)
    before = model.coefs_[0].copy()
    model.fit(X, y)
    assert_allclose(model.coefs_[0], before, atol=1e-4)  # it was at the convex problem's minimum, to its tol
    model.set_params(alpha=20.0).fit(X, y)
    assert abs(model.coefs_[0] - before).max() > 0.01


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", [*KINDS, "one target", "three targets"])
def test_partial_fit_goes_on(kind, solver, rng):
    X, y = problem(kind, rng)
    is_class = kind in KINDS
    theirs, cls = (MLPClassifier, MLPSoftmaxClassifier) if is_class else (TheirRegressor, MLPRegressor)
    theirs = theirs((), solver=solver, max_iter=3) if is_class else theirs(hidden_layer_sizes=(), max_iter=3)
    model = cls.from_sklearn(theirs.fit(X, y)).set_params(solver="adam", learning_rate_init=1e-3)
    epochs = len(model.loss_curve_)
    before = model.coefs_[0].copy()
    for _ in range(3):
        model.partial_fit(X, y)
    assert len(model.loss_curve_) == epochs + 3
    assert 0 < abs(model.coefs_[0] - before).max() < 0.02  # some steps of at most 0.001 each
    pickle.loads(pickle.dumps(model)).partial_fit(X, y)


def test_early_stopping_watches_what_theirs_did(rng):
    X, y = problem("three classes", rng)
    y = np.unique(y, return_inverse=True)[1]  # scikit-learn 1.7 stops early with numbers only
    theirs = MLPClassifier((7,), early_stopping=True, max_iter=5, random_state=0).fit(X, y)
    model = MLPSoftmaxClassifier.from_sklearn(theirs)
    assert model.scoring == "accuracy"
    assert model.batch_size == 81  # of 90 rows a tenth was held out
    model.fit(X, y)
    accuracies = 9.0 * np.asarray(model.validation_scores_)
    assert_allclose(accuracies, np.round(accuracies))  # of nine rows


def test_names_of_features_go_along(rng):
    pd = pytest.importorskip("pandas")
    X, y = problem("two classes", rng)
    X = pd.DataFrame(X).add_prefix("x")
    theirs = MLPClassifier((3,), max_iter=3, random_state=0).fit(X, y)
    model = MLPSoftmaxClassifier.from_sklearn(theirs)
    same_posteriors(model, theirs, X)
    same_posteriors(model, model.to_sklearn(), X)
    assert_array_equal(model.to_sklearn().feature_names_in_, X.columns)


def test_a_stream_of_scikit_learns_comes_too(rng):
    X, y = problem("three classes", rng)
    theirs = MLPClassifier((7,), random_state=0)
    for rows in (slice(0, 40), slice(40, 90), slice(0, 60)):
        theirs.partial_fit(X[rows], y[rows], classes=np.unique(y))
    model = MLPSoftmaxClassifier.from_sklearn(theirs)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), **SAME)
    assert model.batch_size == 50  # the mean call


def test_only_its_counterpart_is_taken(rng):
    X, y = problem("two classes", rng)
    with pytest.raises(TypeError, match=r"takes a fitted sklearn\.neural_network\.MLPRegressor, got MLPClassifier"):
        MLPRegressor.from_sklearn(MLPClassifier((3,), max_iter=2).fit(X, y))
    with pytest.raises(NotFittedError):
        MLPSoftmaxClassifier.from_sklearn(MLPClassifier())


# ----------------------------------------------------------------------------------- to torch ----


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def outputs(torch, model, X):
    module = model.to_torch()
    assert isinstance(module, torch.nn.Sequential)
    with torch.no_grad():
        return module(torch.tensor(X))


def same_posteriors_in_torch(torch, model, X, tolerance=SAME):
    v = outputs(torch, model, X)
    p = torch.sigmoid(v) if model._labels.multilabel else torch.softmax(v, dim=1)
    assert_allclose(p.numpy(), model.predict_proba(X), **tolerance)
    logits = v[:, 1] - v[:, 0] if len(model.classes_) == 2 else v
    assert_allclose(logits.numpy(), model.decision_function(X), **tolerance)
    assert_allclose(torch.log(p).numpy(), model.predict_log_proba(X), **tolerance)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_to_torch(activation, n_members, rng, torch):
    X, y = problem("three classes", rng)
    model = MLPSoftmaxClassifier((7, 4), activation, n_members=n_members, input_scale=n_members == 1, random_state=0)
    same_posteriors_in_torch(torch, fitted(model, 5.0 * X, y), 20.0 * X)  # far out, too


@pytest.mark.filterwarnings("ignore:Column 0 is far from zero")
def test_softplus_keeps_its_digits_in_torch(torch):
    """Torch's own is linear above 20, where e^-20 is still to be seen."""
    X = np.asarray([[20.5], [25.0]])
    model = MLPRegressor((1,), "softplus", scale_target=False, random_state=0).fit(X, [0.0, 1.0])
    model.coefs_, model.intercepts_ = [np.ones((1, 1))] * 2, [np.zeros(1), -np.ones(1) * 20.5]
    expected = np.log1p(np.exp(-20.5))
    assert_allclose(outputs(torch, model, X)[0], expected, rtol=1e-5)  # of a difference of numbers near 20
    assert_allclose(model.predict(X)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", losses_for("classification"))
@pytest.mark.parametrize("hidden", [(), (7, 4)])
def test_classifier_to_torch(kind, loss, hidden, rng, torch):
    X, y = problem(kind, rng)
    for n_members in (1, 3):
        model = MLPSoftmaxClassifier(
            hidden, ["silu", "relu"][: len(hidden)], loss=loss, n_members=n_members, random_state=0
        )
        same_posteriors_in_torch(torch, fitted(model, X, y), X)


@pytest.mark.parametrize("kind", ["one target", "three targets"])
@pytest.mark.parametrize("loss", losses_for("regression"))
@pytest.mark.parametrize("n_members", [1, 3])
def test_regressor_to_torch(kind, loss, n_members, rng, torch):
    for dtype, tolerance in ((np.float64, SAME), (np.float32, SAME32)):
        X, y = problem(kind, rng)
        X = X.astype(dtype)
        model = fitted(MLPRegressor((7, 4), loss=loss, n_members=n_members, input_scale=True), X, y)
        found = outputs(torch, model, X).numpy()
        assert found.dtype == dtype
        if loss == "gaussian":
            mean, std = model.predict(X, return_std=True)
            assert_allclose(found, np.hstack([mean.reshape(90, -1), std.reshape(90, -1)]), **tolerance)
        else:
            assert found.shape == y.shape
            assert_allclose(found, model.predict(X), **tolerance)


@pytest.mark.parametrize("kind", ["one target", "three targets"])
def test_quantiles_in_torch_do_not_cross(kind, rng, torch):
    X, y = problem(kind, rng)
    model = fitted(MLPRegressor((7,), loss="quantile", quantile=[0.1, 0.5, 0.9]), X, y)
    model.coefs_[-1] = model.coefs_[-1][:, ::-1]  # in the other order, and so they do
    model.intercepts_[-1] = model.intercepts_[-1][::-1]
    assert_allclose(outputs(torch, model, X).numpy(), model.predict(X), **SAME)
    assert model.predict(X).shape == (*y.shape, 3)


def test_torch_has_the_dtype_of_the_weights(rng, torch):
    X, y = problem("multilabel", rng)
    model = fitted(MLPSoftmaxClassifier((7,), "mish"), X.astype(np.float32), y)
    same_posteriors_in_torch(torch, model, X.astype(np.float32), SAME32)
    assert {p.dtype for p in model.to_torch().parameters()} == {torch.float32}


def test_a_module_is_independent_pickles_and_trains(rng, torch):
    X, y = problem("one target", rng)
    model = fitted(MLPRegressor((7,), loss="gamma", n_members=2), X, y)
    before = model.predict(X)
    state = torch.random.get_rng_state()
    module = pickle.loads(pickle.dumps(model.to_torch()))
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn
    loss = torch.nn.functional.mse_loss(module(torch.tensor(X)), torch.tensor(y))
    loss.backward()
    with torch.no_grad():
        for p in module.parameters():
            assert torch.isfinite(p.grad).all()
            p -= 1e-6 * p.grad
        assert torch.nn.functional.mse_loss(module(torch.tensor(X)), torch.tensor(y)) < loss
    assert_array_equal(model.predict(X), before)


@pytest.mark.slow
def test_torch_exports_it(rng, torch):
    X, y = problem("three classes", rng)
    module = fitted(MLPSoftmaxClassifier((7,), "gelu", n_members=2), X, y).to_torch()
    program = torch.export.export(module, (torch.tensor(X),))
    assert torch.equal(program.module()(torch.tensor(X)), module(torch.tensor(X)))


# ------------------------------------------------------------ tables that the model encodes ----


def people(n=120):
    """A table with gaps, categories, unscaled and large numbers."""
    pd, rng = pytest.importorskip("pandas"), np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(40.0, 10.0, n),
            "town": rng.choice(["Ulm", "Bonn", "Rome"], n).astype(object),
            "at": 1.7e9 + np.round(3600.0 * rng.random(n)),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], n)),
            "member": rng.random(n) < 0.5,
        }
    )
    y = 1 + (X["town"] == "Ulm") + (X["age"] > 45) + (X["at"] > 1.7e9 + 1800)
    X.loc[::7, "age"], X.loc[::9, "town"] = np.nan, None
    return X, y.to_numpy(float)


def unmet(X):
    """The same rows, some with categories, gaps and numbers that were not there."""
    X = X.copy()
    X.loc[0, ["age", "town"]] = [-50.0, "Oslo"]
    X.loc[1, ["age", "at"]] = [150.0, np.nan]
    X["size"] = X["size"].where(X.index != 2)
    return X


def table_model(cls=MLPRegressor, **params):
    settings = {"hidden_layer_sizes": (7,), "numeric_encoder": "piecewise_linear", "n_bins": 4, "dtype": "float64"}
    return cls(**settings | params)


# predict keeps the codes of bins in float32
CODES = {"rtol": 1e-5, "atol": 1e-6}


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("loss", losses_for("regression"))
def test_a_table_to_torch(loss, n_members, torch):
    X, y = people()
    for hidden, dtype in (((7, 4), "float64"), ((), "float32")):
        model = table_model(hidden_layer_sizes=hidden, loss=loss, n_members=n_members, input_scale=True, dtype=dtype)
        module = fitted(model, X, y).to_torch()
        with torch.no_grad():
            found = module(*model.torch_inputs(unmet(X))).numpy()
        assert found.dtype == dtype
        tolerance = CODES if dtype == "float64" else SAME32
        if loss == "gaussian":
            expected = np.stack(model.predict(unmet(X), return_std=True), axis=1)
        else:
            expected = model.predict(unmet(X))
        assert_allclose(found, expected, **tolerance)
        assert np.ptp(found) > 0.1


def test_missing_and_unknown_categories_in_torch(torch):
    X, y = people()
    closed = table_model(random_state=0).fit(X, y)
    stream = table_model(random_state=0).partial_fit(X, y).partial_fit(unmet(X), y)
    for model, n_silent in ((closed, 3), (stream, 1)):  # the stream met an unknown town and a missing size
        module = model.to_torch()
        rows = torch.cat([m.weight for m in module.columns.columns if isinstance(m, torch.nn.Embedding)])
        assert len(rows) == 5 + 5
        assert (rows.detach().abs().sum(dim=1) == 0.0).sum() == n_silent
        with torch.no_grad():
            assert_allclose(module(*model.torch_inputs(unmet(X))).numpy(), model.predict(unmet(X)), **CODES)


@pytest.mark.parametrize("columns", [["town", "size"], ["town"], ["age", "at"], ["age"], ["member", "size", "age"]])
def test_tables_of_few_columns_to_torch(columns, torch):
    X, y = people()
    for encoder in ("piecewise_linear", "identity"):
        if encoder == "identity":
            X["age"], X["at"] = X["age"].fillna(0.0) / 80.0, X["at"] - 1.7e9
        model = table_model(MLPSoftmaxClassifier, numeric_encoder=encoder)
        if encoder == "identity" and columns in (["age", "at"], ["age"]):
            continue  # an ordinary model
        fitted(model, X[columns], y)
        numbers, categories = model.torch_inputs(X[columns])
        assert numbers.shape[1] + categories.shape[1] == len(columns)
        assert (numbers.dtype, categories.dtype) == (torch.float64, torch.int64)
        p = torch.softmax(model.to_torch()(numbers, categories), dim=1)
        assert_allclose(p.detach().numpy(), model.predict_proba(X[columns]), **CODES)
        if not categories.shape[1]:
            assert torch.equal(torch.softmax(model.to_torch()(numbers), dim=1), p)


def test_what_each_column_adds(torch):
    X, y = people()
    for n_members in (1, 2):
        model = fitted(table_model(n_members=n_members), X, y)
        module = model.to_torch()
        added = module.columns(*model.torch_inputs(X))
        assert added.shape == (120, 5, 7 * n_members)
        assert torch.equal(module.network(added), module(*model.torch_inputs(X)))
        other = module.columns(*model.torch_inputs(X.assign(town="Rome")))
        assert torch.equal(added[:, [0, 2, 3, 4]], other[:, [0, 2, 3, 4]])
        assert torch.equal(
            added[:, 1] != other[:, 1], torch.tensor(X["town"] != "Rome")[:, None].expand(-1, 7 * n_members)
        )


def test_gradients_explain_rows_by_columns(torch):
    """Along the straight way from a background row, in what columns add (integrated gradients)."""
    X, y = people()
    for model, k in ((table_model(activation="tanh", n_members=2), 0), (table_model(MLPSoftmaxClassifier), 1)):
        module = fitted(model, X, y).to_torch()
        with torch.no_grad():
            added = module.columns(*model.torch_inputs(X))
            outputs = module.network(added).reshape(len(X), -1)[:, k]
        row, background = added[:20], added[20:40]
        steps = (torch.arange(2000, dtype=torch.float64)[:, None, None, None] + 0.5) / 2000
        way = (background + steps * (row - background)).reshape(-1, *row.shape[1:]).requires_grad_(True)
        module.network(way).reshape(len(way), -1)[:, k].sum().backward()
        by_column = ((row - background) * way.grad.reshape(2000, *row.shape).mean(dim=0)).sum(dim=2)
        assert by_column.shape == (20, 5)
        assert_allclose(by_column.sum(dim=1), outputs[:20] - outputs[20:40], rtol=1e-3, atol=1e-3)


def test_the_last_step_of_a_pipeline_in_torch(torch):
    X, y = people()
    pipeline = tabular_pipeline(random_state=0, max_iter=3, hidden_layer_sizes=(8,), weight_decay=0.1, dropout=0.0)
    model = pipeline.fit(X, y)[-1]
    module, inputs = model.to_torch(), model.torch_inputs(pipeline[:-1].transform(unmet(X)))
    p = torch.softmax(module(*inputs), dim=1).detach().numpy()
    assert_allclose(p, pipeline.predict_proba(unmet(X)), **SAME32)


def test_gradients_reach_the_numbers_of_a_table(torch):
    X, y = people()
    model = fitted(table_model(activation="tanh"), X, y)
    module, (numbers, categories) = model.to_torch(), model.torch_inputs(X)
    numbers.requires_grad_(True)
    module(numbers, categories).sum().backward()
    missing = torch.isnan(numbers)
    assert torch.equal(numbers.grad[missing], torch.zeros(int(missing.sum()), dtype=torch.float64))
    step = 1e-4 * torch.tensor([10.0, 1000.0, 1.0])
    with torch.no_grad():
        ends = [module.columns(numbers + sign * step, categories) for sign in (1.0, -1.0)]
        for i, column in enumerate((0, 2)):  # "age" and "at"
            base = module.columns(numbers, categories)
            y_ends = []
            for end in ends:
                moved = base.clone()
                moved[:, column] = end[:, column]
                y_ends.append(module.network(moved))
            slope = (y_ends[0] - y_ends[1]) / (2.0 * step[i])
            inside = ~missing[:, i]
            wrong = (slope - numbers.grad[:, i]).abs()[inside] > 1e-3 * numbers.grad[:, i].abs().max()
            assert wrong.float().mean() < 0.1  # of those at an edge, where it bends
            assert (numbers.grad[inside, i] != 0.0).any()


def test_a_module_of_a_table_pickles_trains_and_is_exported(torch):
    X, y = people()
    model = fitted(table_model(n_members=2), X, y)
    state = torch.random.get_rng_state()
    module, inputs = model.to_torch(), model.torch_inputs(X)
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn
    twin = fitted(table_model(n_members=2, random_state=1), X, y + 1.0).to_torch()
    assert not torch.equal(twin(*inputs), module(*inputs))
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(*inputs), module(*inputs))
    assert torch.equal(pickle.loads(pickle.dumps(module))(*inputs), module(*inputs))
    targets, before = torch.tensor(y), model.predict(X)
    loss = torch.nn.functional.mse_loss(module(*inputs), targets)
    loss.backward()
    with torch.no_grad():
        for p in module.parameters():
            assert torch.isfinite(p.grad).all()
            p -= 1e-3 * p.grad
    assert torch.nn.functional.mse_loss(module(*inputs), targets) < loss
    assert_array_equal(model.predict(X), before)


@pytest.mark.slow
def test_torch_exports_a_table(torch):
    X, y = people()
    model = fitted(table_model(n_members=2), X, y)
    module, inputs = model.to_torch(), model.torch_inputs(X)
    assert torch.equal(torch.export.export(module, inputs).module()(*inputs), module(*inputs))


def test_rows_of_other_models_for_torch(rng, torch):
    X, y = problem("two classes", rng)
    model = fitted(MLPSoftmaxClassifier((7,)), X.astype(np.float32), y)
    (rows,) = model.torch_inputs(X)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, torch.tensor(X, dtype=torch.float32))
    with pytest.raises(ValueError, match="NaN"):
        model.torch_inputs(np.full((2, 6), np.nan))
    table, target = people()
    encodes = fitted(table_model(), table, target)
    with pytest.raises(ValueError, match="now missing"):
        encodes.torch_inputs(table.drop(columns="town"))


def test_scikit_learn_cannot_encode_a_table():
    X, y = people()
    with pytest.raises(ValueError, match=r"No MLP of scikit-learn .*encodes the columns .*Export it by .*to_torch"):
        fitted(table_model(), X, y).to_sklearn()


def test_an_activation_unknown_to_torch(rng, torch, monkeypatch):
    X, y = problem("two classes", rng)
    monkeypatch.setitem(ACTIVATIONS, "square", dataclasses.replace(ACTIVATIONS["relu"], torch=None))
    with pytest.raises(ValueError, match="torch has no module for activation='square'"):
        fitted(MLPSoftmaxClassifier((3,), "square"), X, y).to_torch()


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    model = MLPRegressor((2,), learning_rate="cosine", max_iter=1, random_state=0).fit(np.eye(9), np.arange(9.0))
    # where it is imported; to be as it was afterwards, also if it has not been there yet
    monkeypatch.setitem(sys.modules, "skbackprop._interop.torch", None)
    monkeypatch.delitem(sys.modules, "skbackprop._interop.torch")
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python notes a package that is not there
    with pytest.raises(ImportError, match=r"^to_torch needs torch: pip install 'skbackprop\[torch\]'"):
        model.to_torch()
    with pytest.raises(ImportError, match=r"^torch_inputs needs torch"):
        model.torch_inputs(np.eye(9))
