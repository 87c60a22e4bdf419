"""Ensembles: blended regularisations, folds, out-of-fold answers and intervals."""

from sklearn.utils.estimator_checks import parametrize_with_checks
import pytest
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor

@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPEnsembleClassifier(), MLPEnsembleRegressor(), MLPEnsembleClassifier(blend=False, oob_score=True, n_folds=2), MLPEnsembleRegressor(blend=False, oob_score=True, n_folds=2)])
def test_check(estimator, check):
    check(estimator)
