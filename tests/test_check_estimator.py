"""scikit-learn's own checks, on the default estimators and on variants."""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

DEFAULT = [MLPSoftmaxClassifier(), MLPRegressor()]
# The checks bring their own multilabel and two-column targets, which every variant learns too.
VARIANTS = [
    MLPSoftmaxClassifier(solver="sgd", learning_rate_init=0.05),
    MLPRegressor(solver="sgd"),
    # fitted to the last noisy label, as L-BFGS can, logits reach thousands: no float64 holds e^-6500, whose
    # logarithm check_classifiers_train compares
    MLPSoftmaxClassifier(solver="lbfgs", alpha=0.01),
    MLPRegressor(solver="lbfgs"),
    MLPSoftmaxClassifier(solver="nadam"),
    MLPRegressor(solver="nadam"),
    MLPSoftmaxClassifier(solver="rmsprop"),
    MLPRegressor(solver="rmsprop"),
    MLPSoftmaxClassifier(solver="lion", learning_rate_init=0.0003),
    MLPRegressor(solver="lion", learning_rate_init=0.0003),
    MLPSoftmaxClassifier(early_stopping=True),
    MLPRegressor(early_stopping=True),
    # alpha keeps float32 probabilities from rounding to 1, whose logarithm check_classifiers_train compares.
    # L-BFGS computes in float64, Lion's steps are signs: weighted and repeated rows agree to 1e-7 ...
    MLPSoftmaxClassifier(dtype="float32", solver="lion", learning_rate_init=0.0003, alpha=10.0),
    MLPSoftmaxClassifier(dtype="float32", solver="lbfgs", max_iter=20, alpha=10.0),
    MLPRegressor(dtype="float32", solver="lbfgs", max_iter=20),
    # ... which sums of float32 numbers in different orders cannot (test_estimator.py has them agree to 1e-3)
    MLPSoftmaxClassifier(dtype="float32", alpha=10.0),
    MLPRegressor(dtype="float32"),
    MLPSoftmaxClassifier(class_weight="balanced"),
    MLPSoftmaxClassifier(dropout=0.1),
    MLPRegressor(dropout=0.1),
    MLPSoftmaxClassifier(loss="brier"),
    MLPRegressor(loss="quantile", quantile=0.4),
    MLPRegressor(loss="huber"),
    MLPSoftmaxClassifier(()),
    MLPSoftmaxClassifier((20, 10), ["tanh", "softmax"], learning_rate_init=0.01),
]
BY_NATURE = "repeated rows are split and masked differently from weighted ones"
ROUNDING = "float32 sums of weighted and of repeated rows differ by more than the check's 1e-7"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the checks fit tiny, odd data


def expected_failures(estimator):
    if estimator.early_stopping or estimator.dropout:
        reason = BY_NATURE
    elif estimator.dtype == "float32" and estimator.solver == "adam":
        reason = ROUNDING
    else:
        return {}
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}


@parametrize_with_checks(DEFAULT)
def test_default_estimators(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(VARIANTS, expected_failed_checks=expected_failures)
def test_variants(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [*DEFAULT, *VARIANTS[:4]], ids=repr)
@pytest.mark.parametrize("check", [check_param_validation, check_dataframe_column_names_consistency])
def test_checks_that_the_suite_leaves_out(estimator, check):
    check(type(estimator).__name__, estimator)
