"""Names that other libraries have are answered with ours."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.ensemble import MLPEnsembleRegressor

WRITE = r"fit\(X, y, X_val=X_val, y_val=y_val\)"


def models():
    return [MLPRegressor(max_iter=1), MLPSoftmaxClassifier(max_iter=1), tabular_pipeline("regressor", max_iter=1)]


@pytest.fixture
def data(rng):
    return rng.normal(size=(30, 2)), np.arange(30) % 2


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_validation_sets_of_other_libraries(model, method, data):
    X, y = data
    call = getattr(model, method)
    for other in ({"eval_set": [(X, y)]}, {"validation_data": (X, y)}):
        with pytest.raises(TypeError, match=rf"{method}\(\) got an unexpected .*{next(iter(other))}.*{WRITE}"):
            call(X, y, **other)
    for pair in ((X, y), [(X, y)]):
        with pytest.raises(ValueError, match=f"X_val is a tuple.*{WRITE}"):
            call(X, y, X_val=pair)
    with pytest.raises(TypeError, match="Write sample_weight=weights"):
        call(X, y, weights=y)
    with pytest.raises(TypeError, match=r"epochs'. It is a parameter of the estimator: MLP\w+\(epochs=...\)"):
        call(X, y, epochs=3)
    with pytest.raises(TypeError, match=r"set_callbacks\(...\)"):
        call(X, y, callbacks=[])
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'$"):  # of which nobody knows more
        call(X, y, colour="red")


def test_models_that_take_no_validation_set(data):
    X, y = data
    for model in (MLPEnsembleRegressor(), tabular_pipeline("regressor", effort="best")):
        for other in ({"X_val": X, "y_val": y}, {"eval_set": [(X, y)]}):
            with pytest.raises(TypeError, match=r"MLPEnsembleRegressor\.fit.*takes no validation set;"):
                model.fit(X, y, **other)
    with pytest.raises(TypeError, match="Ridge"):
        tabular_pipeline(Ridge()).fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_a_number_for_the_schedule(model, data):
    name = "learning_rate" if hasattr(model, "learning_rate") else "mlp__learning_rate"
    with pytest.raises(ValueError, match=r"Write learning_rate_init=0\.01: .* is the name of the schedule"):
        model.set_params(**{name: 0.01}).fit(*data)
    with pytest.raises(ValueError, match=r"Got 'linear' instead\.$"):
        model.set_params(**{name: "linear"}).fit(*data)
