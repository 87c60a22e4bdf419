"""Metadata routing: weights and a validation set of one's own find their way through Pipelines and searches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import accuracy_score, make_scorer, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FOLDS = KFold(3)


@pytest.fixture(autouse=True)
def routing():
    """As a user would have it for a session: sklearn.set_config(enable_metadata_routing=True)."""
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(params=["classifier", "regressor"])
def task(request, digits, diabetes):
    """An estimator, its score, rows in raw units to train on, and others to validate by."""
    if request.param == "classifier":
        (X, y), estimator, score = digits, MLPSoftmaxClassifier((8,), random_state=0), accuracy_score
    else:
        (X, y), estimator, score = diabetes, MLPRegressor((8,), random_state=0), r2_score
    estimator.set_params(learning_rate="constant", max_iter=6, early_stopping=True, n_iter_no_change=3, random_state=0)
    X = 5.0 * X + 3.0
    return estimator, score, (X[:150], y[:150]), (X[150:240], y[150:240])


def requesting(estimator):
    return clone(estimator).set_fit_request(sample_weight=True)


def in_pipeline(estimator):
    """The Pipeline sends X_val through the scaler that it has fitted to X."""
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    return Pipeline([("scale", scaler), ("mlp", requesting(estimator))], transform_input=["X_val"])


def by_hand(estimator, X, y, w, X_val, y_val, w_val):
    """What the Pipeline should do: the scaled rows, and the model fitted to them."""
    scaler = StandardScaler().fit(X)
    model = clone(estimator)
    model.fit(scaler.transform(X), y, w, X_val=scaler.transform(X_val), y_val=y_val, sample_weight_val=w_val)
    return scaler, model


def weights(rows):
    return np.arange(len(rows[0])) % 3 + 1.0


def metadata_of(train, held_out):
    return {
        "sample_weight": weights(train),
        "X_val": held_out[0],
        "y_val": held_out[1],
        "sample_weight_val": weights(held_out),
    }


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", [MLPSoftmaxClassifier, MLPRegressor])
def test_a_validation_set_needs_no_request_and_weights_do(kind, method):
    def requested(estimator):
        requests = getattr(estimator.get_metadata_routing(), method).requests
        return {key for key, value in requests.items() if value}

    always = {"y_val", "sample_weight_val"}
    if method == "partial_fit":
        always |= {"total_samples", "categories"} | ({"classes"} if kind is MLPSoftmaxClassifier else set())
    assert requested(kind()) == {"X_val", *always}
    weighted = getattr(kind(), f"set_{method}_request")(sample_weight=True, X_val=False)
    assert requested(weighted) == {"sample_weight", *always}
    assert requested(clone(weighted)) == requested(weighted)


def test_weights_that_nobody_asked_for_are_an_error(task):
    estimator, _, train, _ = task
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", estimator)])
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        pipeline.fit(*train, sample_weight=weights(train))


def test_two_lines_bring_a_validation_set_into_a_pipeline(task):
    """The other line is the fixture's; those are what the error about an X_val that was not transformed shows."""
    estimator, _, train, (X_val, y_val) = task
    pipeline = make_pipeline(StandardScaler(), clone(estimator), transform_input=["X_val"])
    pipeline.fit(*train, X_val=X_val, y_val=y_val)
    _, model = by_hand(estimator, *train, None, X_val, y_val, None)
    assert pipeline[-1].validation_loss_curve_ == model.validation_loss_curve_


def test_a_pipeline_scales_the_validation_set(task):
    estimator, _, train, held_out = task
    pipeline = in_pipeline(estimator).fit(*train, **metadata_of(train, held_out))
    scaler, model = by_hand(estimator, *train, weights(train), *held_out, weights(held_out))
    losses = pipeline[-1].validation_loss_curve_
    assert losses == model.validation_loss_curve_
    assert len(losses) == pipeline[-1].n_iter_
    for name in ("sample_weight", "X_val", "sample_weight_val"):  # each arrives: without it the losses are others
        other = metadata_of(train, held_out)
        other[name] = other[name] + 1.0 if name == "X_val" else None
        assert in_pipeline(estimator).fit(*train, **other)[-1].validation_loss_curve_ != losses
    assert_array_equal(pipeline.predict(held_out[0]), model.predict(scaler.transform(held_out[0])))


@pytest.mark.parametrize("search", ["grid search", "cross_validate"])
def test_every_fold_is_validated_by_the_whole_set(search, task):
    estimator, score, (X, y), held_out = task
    metadata = metadata_of((X, y), held_out)
    w, expected = metadata["sample_weight"], []
    for train, test in FOLDS.split(X):
        scaler, model = by_hand(estimator, X[train], y[train], w[train], *held_out, weights(held_out))
        prediction = model.predict(scaler.transform(X[test]))
        expected.append(score(y[test], prediction, sample_weight=w[test]))
    scorer = make_scorer(score).set_score_request(sample_weight=True)
    pipeline = in_pipeline(estimator)
    if search == "cross_validate":
        found = cross_validate(pipeline, X, y, cv=FOLDS, params=metadata, scoring=scorer)["test_score"]
    else:
        tuned = GridSearchCV(pipeline, {"mlp__alpha": [estimator.alpha]}, cv=FOLDS, scoring=scorer)
        tuned.fit(X, y, **metadata)
        found = [tuned.cv_results_[f"split{k}_test_score"][0] for k in range(3)]
        _, model = by_hand(estimator, X, y, w, *held_out, weights(held_out))
        assert_array_equal(tuned.best_estimator_[-1].coefs_[0], model.coefs_[0])
    # the same arithmetic on the same rows; only the score's sums may run in another order
    assert_allclose(found, expected, rtol=1e-12)


def test_the_scorer_of_early_stopping_needs_no_request(task):
    """It belongs to the estimator, which hands it the weights of the validation rows."""
    estimator, score, train, held_out = task
    name = {accuracy_score: "accuracy", r2_score: "r2"}[score]
    model = clone(estimator).set_params(scoring=name).fit(*train, **metadata_of(train, held_out))
    best = score(held_out[1], model.predict(held_out[0]), sample_weight=weights(held_out))
    assert model.validation_scores_[model.best_iter_ - 1] == pytest.approx(best, rel=1e-12)  # another order


def test_a_search_takes_for_rows_of_X_what_is_as_long_as_X(task):
    """The trap: of a validation set with as many rows as X each fold gets its rows' share only."""
    estimator, _, (X, y), (X_more, y_more) = task
    X_val, y_val = np.vstack([X_more, X_more])[: len(X)], np.concatenate([y_more, y_more])[: len(X)]
    alone = requesting(estimator)

    def validation_losses(n_rows):
        params = {"X_val": X_val[:n_rows], "y_val": y_val[:n_rows]}
        fits = cross_validate(alone, X, y, cv=FOLDS, params=params, return_estimator=True)["estimator"]
        return [model.validation_loss_curve_ for model in fits]

    def expected(n_rows):
        kept = [train if n_rows == len(X) else np.arange(n_rows) for train, _ in FOLDS.split(X)]
        return [
            clone(estimator).fit(X[t], y[t], X_val=X_val[k], y_val=y_val[k]).validation_loss_curve_
            for (t, _), k in zip(FOLDS.split(X), kept, strict=True)
        ]

    assert validation_losses(len(X)) == expected(len(X))
    assert validation_losses(len(X) - 1) == expected(len(X) - 1)  # one row less, and each fold gets all of them
