"""Bad input: a clear error or a documented result, and the model fitted before stays as it was."""

import contextlib
import copy
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler

from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._checks.constraints import SHARED_CONSTRAINTS
from skbackprop._checks.messages import divergence
from skbackprop._fit.device import HOST
from skbackprop._fit.early_stopping import warn_not_converged
from skbackprop._fit.scales import check_alike
from skbackprop.ensemble import MLPEnsembleClassifier
from skbackprop.inspection import layer_outputs
from skbackprop.preprocessing import PiecewiseLinearEncoder

PLANNED = {"learning_rate": "cosine", "max_iter": 3, "random_state": 0}


@pytest.fixture
def data(rng):
    return rng.normal(size=(20, 3)), np.arange(20) % 2


def spoiled(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


FAILING_FITS = {
    "NaN in X": (lambda X, y: (spoiled(X, np.nan), y), "contains NaN"),
    "inf in X": (lambda X, y: (spoiled(X, np.inf), y), "contains infinity"),
    "NaN in sparse X": (lambda X, y: (sp.csr_array(spoiled(X, np.nan)), y), "contains NaN"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "0 sample"),
    "no columns": (lambda X, y: (X[:, :0], y), "0 feature"),
    "1-D X": (lambda X, y: (X[:, 0], y), "Expected 2D array"),
    "3-D X": (lambda X, y: (X[:, :, None], y), "dim 3"),
    "other lengths": (lambda X, y: (X[:5], y), "inconsistent numbers of samples"),
    "no y": (lambda X, y: (X, None), "requires y to be passed"),
    "words in X": (lambda X, y: (np.full(X.shape, "a"), y), "could not convert|dtype='numeric'"),
    "complex X": (lambda X, y: (X + 1j, y), "Complex data not supported"),
    "negative weights": (lambda X, y: (X, y, np.where(y, -1.0, 1.0)), "Negative values"),
    "weights all zero": (lambda X, y: (X, y, np.zeros(20)), "so no row counts|at least one non-zero number"),
    "weights too few": (lambda X, y: (X, y, np.ones(7)), "sample_weight.shape"),
    "NaN weights": (lambda X, y: (X, y, np.full(20, np.nan)), "contains NaN"),
}
FAILING_LABELS = {
    "NaN in y": (lambda X, y: (X, np.where(y, np.nan, 1.0)), "contains NaN"),
    "continuous y": (lambda X, y: (X, y + 0.5 * X[:, 0]), "Unknown label type"),
}
FAILING_TARGETS = {
    "NaN in y": (lambda X, y: (X, np.where(y, np.nan, 1.0)), "contains NaN"),
    "inf in y": (lambda X, y: (X, np.where(y, np.inf, 1.0)), "contains infinity"),
    "words in y": (lambda X, y: (X, np.where(y, "a", "b")), "could not convert|must be numbers"),
    "too large y": (lambda X, y: (X, np.where(y, 1e300, -1e300)), "too large to be scaled"),
}
CASES = [
    *(pytest.param(cls, *case, id=f"{cls.__name__}-{name}")
      for cls in (MLPSoftmaxClassifier, MLPRegressor) for name, case in FAILING_FITS.items()),
    *(pytest.param(MLPSoftmaxClassifier, *case, id=f"classifier-{name}") for name, case in FAILING_LABELS.items()),
    *(pytest.param(MLPRegressor, *case, id=f"regressor-{name}") for name, case in FAILING_TARGETS.items()),
]  # fmt: skip


def state(model):
    return copy.deepcopy({name: value for name, value in vars(model).items() if name != "_serving"})


def assert_unchanged(model, before):
    assert vars(model).keys() - {"_serving"} == before.keys()
    for name, value in before.items():
        if name in ("coefs_", "intercepts_"):
            assert all(np.array_equal(a, b) for a, b in zip(value, model.__dict__[name], strict=True))
        elif name not in ("_progress", "_labels"):
            assert np.array_equal(np.asarray(value, object), np.asarray(model.__dict__[name], object))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("cls", "spoil", "message"), CASES)
def test_a_failing_call_names_the_cause_and_changes_nothing(cls, spoil, message, method, data):
    if method == "partial_fit" and message == "too large to be scaled":
        pytest.skip("partial_fit keeps the first scaler")
    X, y = data
    model = cls(**PLANNED).fit(X, y)
    before, prediction = state(model), model.predict(X)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(*spoil(X, y))
    assert_unchanged(model, before)
    assert np.array_equal(model.predict(X), prediction)


WRONG_PARAMETERS = [
    ({"activation": "step"}, "'activation' parameter.*'relu'"),
    ({"activation": ["relu"] * 3}, r"one name per hidden layer \(2 here\)"),
    ({"activation": ["step"]}, "one name per hidden layer"),
    ({"hidden_layer_sizes": (10, 0)}, r"integers >= 1, got \(10, 0\)"),
    ({"hidden_layer_sizes": (10, 2.5)}, "integers >= 1"),
    ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes' parameter"),
    ({"solver": "adamw"}, "'solver' parameter.*'adam'"),
    ({"learning_rate": "step"}, "'learning_rate' parameter.*'cosine'"),
    ({"learning_rate_init": 0.0}, "'learning_rate_init' parameter"),
    ({"batch_size": 0}, "'batch_size' parameter"),
    ({"max_iter": 0}, "'max_iter' parameter"),
    ({"alpha": -1.0}, "'alpha' parameter"),
    ({"dropout": 1.0}, "'dropout' parameter"),
    ({"dropout": [0.1, 0.2, 0.3, 0.4]}, "one per hidden layer"),
    ({"dropout": [1.5]}, r"each in \[0, 1\)"),
    ({"initializer": "zeros"}, "'initializer' parameter.*'he_uniform'"),
    ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
    ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
    ({"dtype": "float16"}, "'dtype' parameter"),
    ({"loss": "hinge"}, "'loss' parameter"),
    ({"max_grad_norm": 0.0}, "'max_grad_norm' parameter"),
    ({"beta_1": 1.0}, "'beta_1' parameter"),
]


@pytest.mark.parametrize(("params", "message"), WRONG_PARAMETERS, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_wrong_parameters(params, message, data):
    X, y = data
    model = MLPSoftmaxClassifier(**PLANNED).fit(X, y)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.set_params(**params).fit(X, y)
    fitted = {name: value for name, value in before.items() if name.endswith("_") or name.startswith("_")}
    for name in fitted:
        assert name in model.__dict__
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"quantile": [0.5, 1.0], "loss": "quantile"}, "strictly between 0 and 1"),
        ({"quantile": 0.0, "loss": "quantile"}, "'quantile' parameter"),
        ({"quantile": [0.9, 0.1], "loss": "quantile"}, r"ascending order: write \[0.1, 0.9\]"),
        ({"huber_delta": 0.0}, "'huber_delta' parameter"),
    ],
)
def test_wrong_parameters_of_the_regressor(params, message, data):
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**params).fit(*data)


@pytest.mark.parametrize(("loss", "bound"), [("poisson", ">= 0"), ("gamma", "> 0")])
def test_targets_outside_the_domain_of_the_loss(loss, bound, data):
    X, y = data
    with pytest.raises(ValueError, match=f"needs y {bound}, but the smallest target is -1"):
        MLPRegressor(loss=loss).fit(X, y - 1.0)
    if loss == "gamma":
        with pytest.raises(ValueError, match="smallest target is 0"):
            MLPRegressor(loss=loss).fit(X, y)
    else:
        assert (MLPRegressor(loss=loss, **PLANNED).fit(X, y).predict(X) > 0).all()


def test_unseen_classes_in_partial_fit(data):
    X, y = data
    model = MLPSoftmaxClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (20, 3)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"labels \[5\].*known classes \[0, 1, 2\].*`classes`"):
        model.partial_fit(X, np.where(y, 5, 0))
    with pytest.raises(ValueError, match="differs from the classes of the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="but in the first call it was"):
        model.partial_fit(X, np.eye(2, dtype=int)[y])
    assert np.array_equal(model.predict_proba(X), before)


def test_other_width_in_predict_and_partial_fit(data):
    X, y = data
    model = MLPRegressor(**PLANNED).fit(X, y)
    for call in (lambda: model.predict(X[:, :2]), lambda: model.partial_fit(X[:, :2], y)):
        with pytest.raises(ValueError, match="X has 2 features, but MLPRegressor is expecting 3"):
            call()
    with pytest.raises(ValueError, match="2 targets, but the model was started with 1"):
        model.partial_fit(X, np.stack([y, y], axis=1))


def test_not_fitted(data):
    with pytest.raises(ValueError, match="not fitted yet"):
        MLPSoftmaxClassifier().predict(data[0])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_one_row(solver, data):
    X = data[0][:1]
    model = MLPRegressor(solver=solver, random_state=0).fit(X, [3.0])
    assert_allclose(model.predict(X), 3.0)
    assert_allclose(model.predict(X + 1.0), 3.0, atol=0.1)  # nothing says otherwise


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_one_class_is_certain(solver, data):
    X = data[0]
    model = MLPSoftmaxClassifier(solver=solver, random_state=0).fit(X, ["only"] * 20)
    assert model.predict(X).tolist() == ["only"] * 20
    assert_allclose(model.predict_proba(X), 1.0)


def test_constant_features_and_constant_targets(data):
    X, y = data
    X = np.hstack([X, np.ones((20, 2)), np.zeros((20, 1))])
    assert MLPSoftmaxClassifier(solver="lbfgs", random_state=0).fit(X, y).score(X, y) == 1.0
    model = MLPRegressor(random_state=0).fit(X, np.full(20, 7.0))
    assert_allclose(model.predict(X), 7.0)
    assert model.target_scale_.tolist() == [1.0]


@pytest.mark.filterwarnings("ignore:Features differ in scale")
def test_huge_features_do_not_harm_adam(data):
    """Its second moment overflows to infinity, so the weights of that feature rest; all others learn."""
    X, y = data
    model = MLPSoftmaxClassifier((5,), **PLANNED).fit(spoiled(X, 1e300), y)
    assert all(np.isfinite(W).all() for W in model.coefs_)


@pytest.mark.filterwarnings("ignore:Features differ in scale")
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_huge_features_diverge_with_advice(solver, data):
    X, y = data
    model = MLPSoftmaxClassifier(**PLANNED).fit(X, y)
    before = model.predict_proba(X)
    model.set_params(solver=solver, max_iter=20, activation="identity", hidden_layer_sizes=(5, 5), learning_rate="auto")
    with pytest.raises(DivergenceError, match="StandardScaler") as caught:
        model.fit(spoiled(X, 1e300), y)
    assert np.array_equal(model.predict_proba(X), before)
    assert np.isfinite(caught.value.estimator.coefs_[0]).all()


def test_tiny_features_are_noticed(data):
    X, y = data
    with pytest.warns(UserWarning, match="No feature has a range above .*StandardScaler"):
        MLPRegressor(**PLANNED).fit(1e-5 * X, y)
    MLPRegressor(**PLANNED).fit(0.01 * X, y)  # small, but learnable
    MLPRegressor(**PLANNED).fit(0.0 * X, y)  # nothing that a scaler could mend


def test_a_validation_set_that_was_not_scaled_is_noticed(rng):
    X = rng.normal(size=(50, 3))
    with pytest.warns(UserWarning, match="mean of column 1 is .* in X_val and "):
        MLPRegressor(**PLANNED).fit(X, X[:, 0], X_val=X + np.array([0.0, 500.0, 0.0]), y_val=X[:, 0])
    MLPRegressor(**PLANNED).fit(X, X[:, 0], X_val=X + 20.0, y_val=X[:, 0])  # far, but who knows


RAW_UNITS = np.array([655.0, 0.1, 19.0, 92.0, 14.0, 0.04]), np.array([350.0, 0.014, 4.3, 24.0, 3.5, 0.02])


def in_raw_units(rng, n=200):
    mean, std = RAW_UNITS
    return mean + std * rng.normal(size=(n, 6))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler()])
def test_a_pipeline_that_scales_X_alone_is_told_what_to_write(scaler, rng):
    X = in_raw_units(rng)
    y, held_out = X[:, 0] / 350.0, {"X_val": in_raw_units(rng, 50), "y_val": np.zeros(50)}
    mlp = MLPRegressor(**PLANNED, early_stopping=True)
    told = r"of 6 columns are on another scale(.*\n)+.*StandardScaler\(\), mlp, transform_input=\[\"X_val\"\]\)"
    with pytest.raises(ValueError, match=told):
        make_pipeline(scaler, mlp).fit(X, y, mlpregressor__X_val=held_out["X_val"], mlpregressor__y_val=y[:50])
    with sklearn.config_context(enable_metadata_routing=True):  # as it says
        with pytest.raises(ValueError, match=told):
            make_pipeline(scaler, mlp).fit(X, y, **held_out)
        for pipeline in (
            make_pipeline(scaler, mlp, transform_input=["X_val"]),
            Pipeline([("scale", scaler), ("mlp", mlp)], transform_input=["X_val"]),
        ):
            losses = pipeline.fit(X, y, **held_out)[-1].validation_loss_curve_
            assert max(losses) < 10.0


@pytest.mark.filterwarnings("ignore:X_val does not look like X")
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_validation_rows_beyond_the_dtype_of_the_rows(cls, form):
    X, y = form(np.asarray([[1.0], [2.0]], dtype=np.float32)), [0, 1]
    model = cls((3,), max_iter=2, random_state=0).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="X_val has values that float32, the dtype of X, cannot hold"):
        model.fit(X, y, X_val=np.asarray([[1e99]]), y_val=[0])
    assert vars(model) == before


def test_a_table_beside_an_array_is_told_of_the_steps_that_make_arrays():
    """Rows near the scaled ones are an error only if names tell that they went past a step: nothing else is sure."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(**PLANNED))
    named, nameless = {"X_val": X[::3], "y_val": y[::3]}, {"X_val": X[::3].to_numpy(), "y_val": y[::3]}
    told = "3 of 4 columns are on another scale; the mean of column 0 is 5.8.* and 0 in X"
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(ValueError, match=told + r"(.*\n)+.*transform_input=\[\"X_val\"\]\)"):
            pipeline.fit(X, y, **named)
        pipeline.fit(X, y, **nameless)  # in silence, as the user guide warns
        right = clone(pipeline).set_params(transform_input=["X_val"]).fit(X, y, **named)
    assert pipeline[-1].validation_loss_curve_[-1] > 2.0 * right[-1].validation_loss_curve_[-1]
    scaled = StandardScaler().fit_transform(X)
    with pytest.warns(UserWarning, match=r"^X_val has column names, but X has none\.") as caught:
        by_hand = MLPSoftmaxClassifier(**PLANNED).fit(scaled, y, X_val=pd.DataFrame(scaled, columns=X.columns), y_val=y)
    assert len(caught) == 1
    alone = MLPSoftmaxClassifier(**PLANNED).fit(scaled, y, X_val=scaled, y_val=y)
    assert by_hand.validation_loss_curve_ == alone.validation_loss_curve_


def test_raw_rows_of_a_few_large_columns_are_an_error_too():
    X, y = load_wine(return_X_y=True)  # most columns are within ten standard deviations of the scaled ones
    with pytest.raises(
        ValueError, match=r"\d+ of 13 columns are on another scale; the mean of column 12 is 747 in X_val and 0 in X"
    ):
        MLPSoftmaxClassifier(**PLANNED).fit(StandardScaler().fit_transform(X), y, X_val=X, y_val=y)


def test_a_scaled_validation_set_of_raw_rows_is_no_less_wrong(rng):
    X = in_raw_units(rng)[:, [1, 5]]  # both spread over little, so that scaled rows are wide beside them
    scaled = StandardScaler().fit_transform(X)
    with pytest.raises(ValueError, match="2 of 2 columns are on another scale; the spread of column 0"):
        MLPRegressor(**PLANNED).fit(0.1 * X, X[:, 0], X_val=scaled, y_val=X[:, 0])
    twice = StandardScaler().fit(X).transform(scaled)
    with pytest.raises(ValueError, match="2 of 2 columns"):
        MLPRegressor(**PLANNED).fit(scaled, X[:, 0], X_val=10.0 * twice, y_val=X[:, 0])


def test_sparse_validation_rows_on_another_scale(rng):
    X = sp.csr_array(np.where(rng.random((300, 20)) < 0.2, rng.random((300, 20)), 0.0))
    y = np.asarray(X.sum(axis=1)).ravel()
    with pytest.raises(ValueError, match=r"20 of 20 columns .* nonzero values of column \d+ are about"):
        MLPRegressor(**PLANNED).fit(X, y, X_val=255.0 * X[:100], y_val=y[:100])
    one = sp.diags_array([255.0] + 19 * [1.0])
    with pytest.warns(UserWarning, match="nonzero values of column 0"):
        MLPRegressor(**PLANNED).fit(X, y, X_val=sp.csr_matrix(X[:100] @ one), y_val=y[:100])
    MLPRegressor(**PLANNED).fit(X, y, X_val=X[:100], y_val=y[:100])
    MLPRegressor(**PLANNED).fit(X, y, X_val=255.0 * X[:1], y_val=y[:1])  # too few to tell


def test_honest_validation_sets_are_left_in_peace(rng):
    X = rng.normal(size=(200, 6))
    X[:, 1] = rng.random(200) < 0.02  # a rare event
    X[:, 2] = 3.0  # constant
    X[:, 3] = rng.poisson(0.1, 200)
    X[:, 4] = np.exp(3.0 * X[:, 4])
    X[:, 5] = np.sign(X[:, 5])
    X = StandardScaler().fit_transform(X)
    narrow = 0.01 * X + X[:1]  # one patient, or a machine that idles
    for X_val in (X[:1], X[:2], X[-20:], X + 20.0, 9.0 * X, narrow, narrow[:1], np.zeros((20, 6)), X[:, :1] + 0 * X):
        MLPRegressor(**PLANNED).fit(X, X[:, 0], X_val=X_val, y_val=X_val[:, 0])
    heavy = np.exp(3.0 * rng.normal(size=(2000, 100)))  # a few rows make the standard deviation of each column
    check_alike(heavy[:1000], heavy[1000:1030], HOST)
    check_alike(heavy[:30], heavy[1000:], HOST)


def test_a_piece_of_a_stream_may_differ_from_the_whole(rng):
    X = in_raw_units(rng)
    with pytest.warns(UserWarning, match="X_val does not look like X"):
        model = MLPRegressor(max_iter=3, random_state=0).partial_fit(
            StandardScaler().fit_transform(X), X[:, 0], X_val=X, y_val=X[:, 0]
        )
    assert model.n_iter_ == 1


def test_rows_that_went_past_the_steps_are_told_of_them(rng):
    X = rng.normal(size=(60, 3))
    held_out = {"mlpregressor__X_val": X, "mlpregressor__y_val": X[:, 0]}
    with pytest.raises(ValueError, match=r"expecting 10 features.*(.*\n)+.*transform_input="):
        make_pipeline(PolynomialFeatures(), MLPRegressor(**PLANNED)).fit(X, X[:, 0], **held_out)
    held_out["mlpregressor__X_val"] = spoiled(X, np.nan)
    with pytest.raises(ValueError, match=r"Input X contains NaN(.*\n)+.*transform_input="):
        make_pipeline(SimpleImputer(), MLPRegressor(**PLANNED)).fit(X, X[:, 0], **held_out)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_feature_far_from_zero_for_its_spread_is_noticed(dtype, rng):
    X = rng.normal(size=(200, 3)).astype(dtype)
    mean, std = (1e8, 1e-3) if dtype == "float64" else (1e5, 1.0)
    X[:, 1] = mean + std * rng.normal(size=200)
    with pytest.warns(UserWarning, match="Column 1 is far from zero .* StandardScaler") as caught:
        MLPRegressor(**PLANNED).fit(X, X[:, 0])
    assert f"mean is {mean:.6g}, its standard deviation {X[:, 1].std():.3g}" in str(caught[0].message)
    MLPRegressor(**PLANNED).fit(StandardScaler().fit_transform(X), X[:, 0])


@pytest.mark.parametrize(("mean", "std"), [(290.0, 8.0), (-120.0, 2.0), (2005.0, 9.0), (0.5, 0.04)])
def test_units_of_everyday_data_are_noticed(mean, std, rng):
    """From 8 standard deviations on: a network with such inputs learns much less, or nothing."""
    X, y = rng.normal(size=(600, 6)), rng.normal(size=600)
    MLPRegressor(**PLANNED).fit(7.0 * std + std * X, y)
    with pytest.warns(UserWarning, match="is far from zero .* StandardScaler"):
        MLPRegressor(**PLANNED).fit(mean + std * X, y)


@pytest.mark.parametrize(("factor", "is_noticed"), [(1e5, True), (150.0, True), (100.0, False)])
def test_features_of_a_large_scale_are_noticed(factor, is_noticed, rng):
    """Pixels in 0..255 are not: their standard deviation is below 128."""
    X = factor * StandardScaler().fit_transform(rng.normal(size=(200, 3)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPRegressor(**PLANNED).fit(X, X[:, 0])
    assert ["has a large scale: its" in str(warning.message) for warning in caught] == [True] * is_noticed


def test_features_that_only_look_far_from_zero_are_left_in_peace(rng):
    X = np.stack(
        [
            rng.normal(size=500),
            np.full(500, 1e8),  # constant
            0.1 + 1e-17 * rng.integers(0, 3, 500),  # constant but for rounding
            np.arange(500) > 0,  # one row is different
            rng.poisson(3.0, 500),
            np.eye(500)[0],
            30.0 + 5.0 * rng.normal(size=500),  # body mass index
            1.0 + (np.arange(500) < 5),  # a code that is rarely 2
            1.0 + rng.poisson(0.01, 500) + 2.0 * np.eye(500)[1],  # a count that is mostly 1
        ],
        axis=1,
    )
    MLPRegressor(**PLANNED).fit(X, X[:, 0])
    MLPRegressor(**PLANNED).fit(X.astype(np.float32), X[:, 0])


def test_errors_about_the_validation_set_say_so(data):
    X, y = data
    model = MLPSoftmaxClassifier(**PLANNED)
    for bad, message in (((spoiled(X, np.nan), y), "X contains NaN"), ((X, y + 5), "labels \\[5, 6\\]")):
        with pytest.raises(ValueError, match=f"In the validation set .*{message}"):
            model.fit(X, y, X_val=bad[0], y_val=bad[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_score_that_is_nan_cannot_stop_a_fit(data):
    X, y = data
    model = MLPSoftmaxClassifier(**PLANNED, early_stopping=True, scoring="roc_auc")
    with pytest.raises(ValueError, match="scoring='roc_auc' gives nan"):
        model.fit(X, y, X_val=X[y == 0], y_val=y[y == 0])
    watched = MLPSoftmaxClassifier(**PLANNED, scoring="roc_auc").fit(X, y, X_val=X[y == 0], y_val=y[y == 0])
    assert np.isnan(watched.validation_scores_).all()


def test_texts_and_gaps_in_X_are_told_of_the_pipeline_for_them(data):
    X, y = data
    with pytest.raises(ValueError, match="tabular_pipeline, which sets it"):
        MLPRegressor().fit(spoiled(X, np.nan), y)
    with pytest.raises(ValueError, match=r"categorical_features, encode them, or use .*tabular_pipeline"):
        MLPRegressor().fit([["red"], ["blue"]], [1.0, 2.0])


def test_a_column_of_labels_warns_once(data):
    X, y = data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        column = MLPSoftmaxClassifier(**PLANNED, weight_decay="auto").fit(X, y[:, None])
    assert [w.category.__name__ for w in caught].count("DataConversionWarning") == 1
    assert np.array_equal(column.predict(X), MLPSoftmaxClassifier(**PLANNED).fit(X, y).predict(X))


@pytest.mark.parametrize(
    ("model", "dtype"),
    [
        (MLPSoftmaxClassifier((3,)), int),
        (MLPSoftmaxClassifier((3,)), str),
        (MLPSoftmaxClassifier((3,)), float),
        (MLPEnsembleClassifier(MLPSoftmaxClassifier((3,))), int),
        (tabular_pipeline("classifier", effort="quick"), str),
    ],
)
def test_warnings_about_labels_point_at_the_callers_line(model, dtype, data):
    X, y = np.vstack([data[0]] * 3)[:42], np.minimum(np.arange(42), 21).astype(dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y[:, None])
    about = [w for w in caught if re.search("column-vector|unique classes", str(w.message))]
    assert {w.filename for w in about} == {__file__}
    categories = [w.category for w in about]
    assert categories.count(DataConversionWarning) == 1
    assert UserWarning in categories
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The number of unique classes")
        MLPSoftmaxClassifier(**PLANNED).fit(X, np.minimum(np.arange(42), 20).astype(dtype))


def test_weights_beyond_all_bounds_are_a_divergence(rng):
    """Before they are infinite: a loss of 1e262 is no model either."""
    X = rng.normal(size=(300, 10))
    model = MLPRegressor(solver="sgd", learning_rate="constant", learning_rate_init=5.0, max_iter=5, random_state=0)
    with pytest.raises(DivergenceError, match="grew without bound"):
        model.fit(X, X[:, 0])


def test_a_rising_loss_asks_for_a_lower_rate():
    with pytest.warns(ConvergenceWarning, match=r"raised the loss by 1 to 3; .* Lower learning_rate_init"):
        warn_not_converged(9, [1.0, 2.0, 3.0], 0.1)
    with pytest.warns(ConvergenceWarning, match=r"lowered the loss by 1 to 2; .* Raise max_iter"):
        warn_not_converged(9, [3.0, 2.0], 0.1)


@pytest.mark.parametrize(
    ("scoring", "change"),
    [(None, r"(lowered|raised) the validation loss"), ("r2", r"(lowered|raised) the validation score")],
)
def test_training_that_stops_early_is_not_told_to(scoring, change, rng):
    """It is told of what it watched, and not to set what is set."""
    X = rng.normal(size=(100, 3))
    model = MLPRegressor((5,), learning_rate="constant", max_iter=3, early_stopping=True, random_state=0)
    with pytest.warns(ConvergenceWarning) as caught:
        model.set_params(scoring=scoring).fit(X, X[:, 0])
    (text,) = [str(warning.message) for warning in caught]
    *_, before, last = model.validation_loss_curve_ if scoring is None else model.validation_scores_
    assert re.search(f"{change} by {abs(last - before):.3g} to {last:.4g};", text)
    assert re.search("still lowered the validation loss|still raised the validation score", text)
    assert "or lower n_iter_no_change." in text
    assert "early_stopping" not in text
    with pytest.warns(ConvergenceWarning, match=r"still lowered the loss by .* early_stopping=True"):
        model.set_params(early_stopping=False, scoring=None).fit(X, X[:, 0])
    with pytest.warns(ConvergenceWarning, match=r"the last one left the loss at [\d.]+; less"):
        model.set_params(max_iter=1).fit(X, X[:, 0])


def test_validation_set_needs_both_parts(data):
    X, y = data
    with pytest.raises(ValueError, match="both X_val and y_val"):
        MLPRegressor().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="3 features"):
        MLPRegressor().fit(X, y, X_val=X[:, :2], y_val=y)
    with pytest.raises(ValueError, match="sample_weight_val"):
        MLPRegressor().fit(X, y, X_val=X, y_val=y, sample_weight_val=-np.ones(20))


def test_early_stopping_with_nothing_to_spare():
    with pytest.raises(ValueError, match="can be held out"):
        MLPSoftmaxClassifier(early_stopping=True).fit([[0.0], [1.0]], [0, 1])


def test_coefs_of_other_shapes(data):
    X, y = data
    model = MLPRegressor((4,), **PLANNED).fit(X, y)
    model.coefs_ = model.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must have the shapes"):
        model.predict(X)


def test_partial_fit_does_not_exist_for_lbfgs(data):
    model = MLPRegressor(solver="lbfgs", random_state=0)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match=r"^partial_fit needs a minibatch solver, but solver='lbfgs'"):
        model.partial_fit(*data)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("n", [2, 100])
def test_prediction_lets_nan_pass_where_scikit_learn_is_told_to(engine, n, digits):
    X, y = digits[0][:n].copy(), digits[1][:200]
    model = MLPSoftmaxClassifier((3,), "tanh", learning_rate="cosine", max_iter=2, engine=engine, random_state=0)
    whole = model.fit(digits[0][:200], y).predict_proba(X)
    X[1, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict_proba(X)
    with sklearn.config_context(assume_finite=True):
        p = model.predict_proba(X)
    assert np.isnan(p[1]).all()
    assert_allclose(np.delete(p, 1, axis=0), np.delete(whole, 1, axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    "params", [{"max_iter": 1, "learning_rate": "constant"}, {"batch_size": 1000}, {"momentum": 0.5}]
)
def test_warnings_point_at_the_users_line(params, digits):
    model = MLPSoftmaxClassifier((3,), **params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(digits[0][:50], digits[1][:50])
        make_pipeline(model).fit(digits[0][:50], digits[1][:50])
    assert len(caught) >= 2
    assert {w.filename for w in caught} == {__file__}


@pytest.mark.parametrize(
    ("params", "advice"),
    [
        ({}, r"lower learning_rate_init or set max_grad_norm=1\.0\."),
        ({"max_grad_norm": 1e30}, r"lower learning_rate_init or max_grad_norm \(now 1e\+30\)\."),
    ],
    ids=["no limit", "a limit"],
)
def test_a_divergence_recommends_nothing_that_is_done_already(params, advice, rng):
    X = rng.normal(size=(300, 10))
    model = MLPRegressor(solver="sgd", learning_rate="constant", learning_rate_init=5.0, random_state=0, **params)
    with pytest.raises(DivergenceError, match=advice):
        model.fit(X, X[:, 0])


def test_a_divergence_of_lbfgs_does_not_speak_of_learning_rates():
    error = divergence(3, None, 1.0, None, None)
    assert "raise alpha, or use a minibatch solver" in str(error)
    assert "learning rate" not in str(error)


@pytest.mark.filterwarnings("ignore:Features differ in scale")
def test_a_huge_value_among_held_out_rows_is_no_careless_arithmetic():
    """The losses of the selection overflow; numpy's warnings would be errors here."""
    for row in range(0, 210, 15):  # some of them are held out
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(210, 4)), rng.normal(size=210)
        X[row, 3] = 1e38
        with contextlib.suppress(DivergenceError):
            MLPRegressor((3,), max_iter=2, random_state=0).fit(X, y)


def test_features_whose_spread_vanishes_are_no_careless_arithmetic(rng):
    """Their standard deviation is 0, as its squares underflow; numpy's warnings would be errors here."""
    X = 1e-310 * rng.normal(size=(8, 4))
    with pytest.warns(UserWarning, match="far from zero|No feature has a range"):
        MLPRegressor(**PLANNED).fit(X, np.arange(8.0))


# ----------------------------------------------------------------------------- sparse matrices ----


def broken(name, X, index_dtype):
    """A sparse matrix that was sound when SciPy made it, and is not any more."""
    kind, _, fault = name.partition(" ")
    S = getattr(sp, f"{kind}_matrix")(X)
    if kind == "coo":
        S.row, S.col = S.row.astype(index_dtype), S.col.astype(index_dtype)
    elif kind != "lil":
        S.indices, S.indptr = S.indices.astype(index_dtype), S.indptr.astype(index_dtype)
    FAULTS[fault](S)
    return S


def put(attribute, at, value):
    def spoil(S):
        getattr(S, attribute)[at] = value

    return spoil


def cut(attribute, stop):
    return lambda S: setattr(S, attribute, getattr(S, attribute)[:stop])


FAULTS = {
    "column too large": put("indices", 5, 2**30),
    "column one too large": put("indices", -1, 3),
    "column negative": put("indices", 5, -3),
    "pointer beyond the end": put("indptr", 10, 2**30),
    "last pointer beyond the end": put("indptr", -1, 2**30),
    "pointers that fall": put("indptr", 10, 0),
    "first pointer not zero": put("indptr", 0, 1),
    "first pointer negative": put("indptr", 0, -1),
    "too few pointers": cut("indptr", -2),
    "too few numbers": cut("data", -2),
    "too few columns": cut("indices", -2),
    "columns in halves": lambda S: setattr(S, "indices", S.indices + 0.5),
    "row too large": put("row", 5, 2**30),
    "row negative": put("row", 5, -1),
    "too few rows": cut("row", -1),
    "unknown column": lambda S: S.rows[3].__setitem__(0, 10**8),
}
BROKEN = [
    *(f"csr {name}" for name in list(FAULTS)[:12]),
    "csc column too large",
    "csc last pointer beyond the end",
    "bsr column too large",
    "coo row too large",
    "coo row negative",
    "coo too few rows",
    "lil unknown column",
]


def methods(cls, engine, X, y, S):
    """All that takes X, by its name."""
    params = {"hidden_layer_sizes": (4,), "engine": engine, **PLANNED, "weight_decay": 0.0}
    fitted = cls(**params).fit(X, y)
    calls = {
        "fit": lambda: cls(**params).fit(S, y),
        "lbfgs": lambda: cls((4,), engine=engine, solver="lbfgs", max_iter=3, random_state=0).fit(S, y),
        "warm start": lambda: copy.copy(fitted).set_params(warm_start=True).fit(S, y),
        "partial_fit": lambda: copy.copy(fitted).partial_fit(S, y),
        "first partial_fit": lambda: cls((4,), engine=engine, random_state=0).partial_fit(S, y),
        "X_val": lambda: cls(**params).fit(X, y, X_val=S, y_val=y),
        "X_val of partial_fit": lambda: copy.copy(fitted).partial_fit(X, y, X_val=S, y_val=y),
        "predict": lambda: fitted.predict(S),
        "score": lambda: fitted.score(S, y),
        "layer_outputs": lambda: layer_outputs(fitted, S),
    }
    if hasattr(fitted, "predict_proba"):
        calls["first partial_fit"] = lambda: cls((4,), engine=engine, random_state=0).partial_fit(S, y, classes=[0, 1])
        calls["predict_proba"] = lambda: fitted.predict_proba(S)
        calls["predict_log_proba"] = lambda: fitted.predict_log_proba(S)
    return fitted, calls


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*no effect")
@pytest.mark.parametrize("name", BROKEN)
def test_malformed_sparse_input_is_refused_by_every_engine_and_method(name, data):
    X, y = data
    for k, engine in enumerate(("compiled", "reference")):
        for cls in (MLPSoftmaxClassifier, MLPRegressor):
            fitted, calls = methods(cls, engine, X, y, broken(name, X, (np.int32, np.int64)[k]))
            before = state(fitted)
            for method, call in calls.items():
                print(engine, cls.__name__, method)  # which, if one is let through
                with pytest.raises(ValueError, match="Sparse X is malformed"):
                    call()
            assert_unchanged(fitted, before)


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_sparse_targets_are_refused(name, data):
    X, labels = data[0], np.ones((20, 3), dtype=int)
    model = MLPSoftmaxClassifier((4,), **PLANNED).fit(X, labels)
    broken_y = broken(name, labels, np.int32)
    for call in (
        lambda: model.fit(X, broken_y),
        lambda: model.partial_fit(X, broken_y),
        lambda: model.fit(X, labels, X_val=X, y_val=broken_y),
        lambda: model.score(X, broken_y),
    ):
        with pytest.raises(ValueError, match="Sparse y is malformed"):
            call()
    with pytest.raises(ValueError, match="Sparse y must have two dimensions"):
        model.fit(X, sp.coo_array(labels[:, 0]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*no effect")
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("cls", [MLPSoftmaxClassifier, MLPRegressor])
def test_unsorted_and_duplicate_sparse_entries_add_up_and_are_never_written(cls, index_dtype, data):
    """Not even by a fit that diverges, whose error names the largest feature."""
    X, y = data
    columns = np.tile([2, 0, 2, 1], len(X)).astype(index_dtype)  # every row names column 2 twice, and 1 last
    numbers = np.c_[0.25 * X[:, 2], X[:, 0], 0.75 * X[:, 2], X[:, 1]].ravel()
    S = sp.csr_array((numbers, columns, np.arange(0, len(columns) + 1, 4).astype(index_dtype)), X.shape)
    assert S.indices.dtype == index_dtype
    assert not S.has_canonical_format
    arrays = {name: getattr(S, name) for name in ("data", "indices", "indptr")}
    copies = {name: array.copy() for name, array in arrays.items()}
    for engine in ("compiled", "reference"):
        dense = methods(cls, engine, X, y, X)[1]
        sparse = methods(cls, engine, X, y, S)[1]
        for method in ("predict", "score", "layer_outputs", *(["predict_proba"] if "predict_proba" in sparse else [])):
            assert_allclose(sparse[method](), dense[method](), atol=1e-12)
        for method in ("fit", "lbfgs", "warm start", "partial_fit", "first partial_fit"):
            # the sums' order is another one, and training enlarges rounding
            assert_allclose(sparse[method]().predict(S), dense[method]().predict(X), rtol=1e-6, atol=1e-6)
        sparse["X_val"]()
        for solver in ("sgd", "lbfgs"):
            with pytest.raises(DivergenceError, match=r"features are up to|learning rate is too high"):
                cls((4,), solver=solver, engine=engine, learning_rate_init=1e30, weight_decay=0.0, max_iter=9,
                    random_state=0).fit(S * 1e200 if solver == "lbfgs" else S, y)  # fmt: skip
        for name, array in arrays.items():
            assert getattr(S, name) is array
            assert np.array_equal(array, copies[name])


def test_the_largest_number_of_sparse_input_is_told_when_training_diverges(data):
    X, y = data
    S = sp.csr_array(np.r_[X, np.full((1, 3), 5e3)])
    with pytest.raises(DivergenceError, match="features are up to 5e\\+03"):
        MLPRegressor((4,), solver="sgd", learning_rate_init=1e30, weight_decay=0.0, max_iter=9).fit(S, np.r_[y, 0])


BEYOND_FLOATS = 10**400


def with_one(values):
    """The same numbers as objects, one of them beyond all floats."""
    values = np.array(values, dtype=object)
    values.flat[-1] = BEYOND_FLOATS
    return values


@pytest.mark.parametrize("cls", [MLPRegressor, MLPSoftmaxClassifier])
def test_integers_that_no_float_can_be(cls, data):
    X, y = data
    weights = np.ones(len(y))
    kwargs = {"classes": [0, 1]} if cls is MLPSoftmaxClassifier else {}
    model = cls((3,), max_iter=2, random_state=0).fit(X, y)
    before = model.predict(X)
    calls = {
        "X": [
            lambda: model.fit(with_one(X), y),
            lambda: model.partial_fit(with_one(X).tolist(), y, **kwargs),
            lambda: model.predict(with_one(X)),
            lambda: layer_outputs(model, with_one(X)),
            lambda: model.fit(X, y, X_val=with_one(X), y_val=y),
            lambda: PiecewiseLinearEncoder().fit(with_one(X)),
        ],
        "y": [
            lambda: model.fit(X, with_one(y)),
            lambda: model.score(X, with_one(y)),
            lambda: model.fit(X, y, X_val=X, y_val=with_one(y)),
        ],
        "sample_weight": [
            lambda: model.fit(X, y, with_one(weights)),
            lambda: model.score(X, y, with_one(weights).tolist()),
            lambda: model.fit(X, y, X_val=X, y_val=y, sample_weight_val=with_one(weights)),
        ],
    }
    for name, several in calls.items():
        for call in several:
            refused = f"{name}.* contains .* too large for dtype\\('float64'\\)"
            if name == "y" and cls is MLPSoftmaxClassifier:
                refused += "|(?i:unknown)|not among the known classes"  # as labels need not be floats
            with pytest.raises(ValueError, match=refused):
                call()
    assert_array_equal(model.predict(X), before)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (MLPRegressor, "max_iter", 2**63 - 1),
        *((cls, name, BEYOND_FLOATS) for cls in (MLPRegressor, MLPSoftmaxClassifier) for name in SHARED_CONSTRAINTS),
        (MLPRegressor, "quantile", [BEYOND_FLOATS]),
        (MLPRegressor, "dropout", [BEYOND_FLOATS]),
        (MLPRegressor, "huber_delta", BEYOND_FLOATS),
        (MLPSoftmaxClassifier, "class_weight", {0: 1, 1: BEYOND_FLOATS}),
        (MLPSoftmaxClassifier, "focal_gamma", BEYOND_FLOATS),
        (PiecewiseLinearEncoder, "code_range", (0, BEYOND_FLOATS)),
    ],
)
def test_parameters_that_no_float_can_be(cls, name, value, data, capsys):
    """A number too large is told by name, or it is a count and means no limit, also for a copy that was saved."""
    X, y = data
    options = {} if cls is PiecewiseLinearEncoder else {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
    if name == "quantile":
        options["loss"] = "quantile"
    model = cls(**options).set_params(**{name: value})
    if name in ("hidden_layer_sizes", "n_members"):  # the memory ends first
        return
    if name in ("batch_size", "epochs", "max_iter", "max_fun", "n_iter_no_change", "verbose"):
        if name == "max_iter":
            model.partial_fit(X, y, **({"classes": [0, 1]} if cls is MLPSoftmaxClassifier else {}))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some do nothing here
                model.fit(X, y)
        assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    else:
        with pytest.raises((ValueError, TypeError), match=name):
            model.fit(X, y)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.filterwarnings("ignore:X_val does not look like X")
def test_validation_rows_beyond_all_bounds_are_infinitely_wrong(engine, data):
    X, y = (part[:8] for part in data)
    far = np.full((1, 3), np.finfo(float).max)
    params = {"max_iter": 2, "random_state": 0, "engine": engine, "weight_decay": 0.5, "dropout": 0.0}
    model = MLPSoftmaxClassifier((3,), **params)
    model.fit(X, y, X_val=far, y_val=y[:1])
    assert model.validation_loss_curve_ == [np.inf, np.inf]
    model.fit(X, y, X_val=np.r_[X, far], y_val=np.r_[y, 0], sample_weight_val=np.r_[np.ones(len(y)), 0.0])
    assert_allclose(  # that row does not count
        model.validation_loss_curve_, clone(model).fit(X, y, X_val=X, y_val=y).validation_loss_curve_
    )
