"""Names that other libraries have are answered with ours."""

from functools import partial

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge

from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop._checks.calls import OURS
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor

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
    for other in ({"eval_set": [(X, y)]}, {"validation_data": (X, y)}, {"X_test": X, "y_test": y}):
        with pytest.raises(TypeError, match=rf"{method}\(\) got an unexpected .*{next(iter(other))}.*{WRITE}"):
            call(X, y, **other)
    for pair, rest in (((X, y), {}), ([(X, y)], {}), ((X, y), {"y_val": y})):
        with pytest.raises(ValueError, match=f"X_val is a tuple.*{WRITE}"):
            call(X, y, X_val=pair, **rest)
    with pytest.raises(TypeError, match="Write sample_weight=weights"):
        call(X, y, weights=y)
    for name in ("epochs", "n_epochs"):
        with pytest.raises(TypeError, match=rf"{name}'. It is a parameter of the estimator: MLP\w+\(epochs=...\)"):
            call(X, y, **{name: 3})
    with pytest.raises(TypeError, match=r"set_callbacks\(...\)"):
        call(X, y, callbacks=[])
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'$"):  # of which nobody knows more
        call(X, y, colour="red")


@pytest.mark.parametrize("routes", [False, True])
def test_a_pipeline_answers_before_it_fits(routes, data):
    X, y = data
    model = tabular_pipeline("regressor", max_iter=1)
    best = tabular_pipeline("regressor", effort="best")
    with config_context(enable_metadata_routing=routes):
        for call in (model.fit, model.partial_fit):
            with pytest.raises(TypeError, match=rf"^MLPRegressor\.\w+\(\) got an unexpected .*'eval_set'.*{WRITE}"):
                call(X, y, eval_set=[(X, y)])
        with pytest.raises(TypeError, match=r"^MLPEnsembleRegressor\.fit\(\) got .*'X_val'.*effort='default'"):
            best.fit(X, y, X_val=X, y_val=y)
        for wrong, told in (("weights", "Write sample_weight=weights"), ("colour", "'colour'$")):
            with pytest.raises(TypeError, match=rf"^MLPRegressor\.score\(\) got an unexpected .*{told}"):
                model.score(X, y, **{wrong: y})
    for name, step in model.steps:
        assert not [key for key in vars(step) if key.endswith("_") and key[0] != "_"], name
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"^The steps are \['table', 'mlp'\]; there is no 'network'\.$"):
            call(X, y, network__sample_weight=y)
    weighted = model.fit(X, y).score(X, y, sample_weight=y)
    assert weighted == model["mlp"].score(model[:-1].transform(X), y, y) != model.score(X, y)


def test_parameters_of_the_steps_are_named():
    told = {
        "epochs": "mlp__epochs",
        "max_categories": "table__max_categories",
        "random_state": "(table__random_state or mlp__random_state|mlp__random_state or table__random_state)",
    }
    for name, names in told.items():
        with pytest.raises(ValueError, match=rf"^'{name}' is a parameter of a step of the Pipeline\. Write {names}\.$"):
            tabular_pipeline("regressor").set_params(**{name: 3})
    with pytest.raises(ValueError, match=r"Write mlp__estimator__epochs\.$"):
        tabular_pipeline("regressor", effort="best").set_params(epochs=3)
    with pytest.raises(ValueError, match="Invalid parameter 'colour' for estimator TabularPipeline"):
        tabular_pipeline("regressor").set_params(colour=3)
    model = tabular_pipeline("regressor").set_params(mlp__epochs=3, memory=None)
    assert model["mlp"].epochs == 3
    assert isinstance(model.set_params(mlp=Ridge())["mlp"], Ridge)


def test_a_tuple_of_rows_is_no_pair(data):
    model = MLPRegressor(max_iter=1, random_state=0)
    by_rows = model.fit(*data, X_val=((1.0, 2.0), (3.0, 4.0)), y_val=[0.0, 1.0]).validation_loss_curve_
    assert (
        by_rows == model.fit(*data, X_val=np.array([[1.0, 2.0], [3.0, 4.0]]), y_val=[0.0, 1.0]).validation_loss_curve_
    )


def test_models_that_take_no_validation_set(data):
    X, y = data
    instead = r"takes no validation set; MLPRegressor does, and so does tabular_pipeline\(effort='default'\) without"
    for model in (MLPEnsembleRegressor(), tabular_pipeline("regressor", effort="best")):
        for other in ({"X_val": X, "y_val": y}, {"eval_set": [(X, y)]}, {"y_test": y}):
            with pytest.raises(TypeError, match=rf"MLPEnsembleRegressor\.fit\(\) .*{instead}"):
                model.fit(X, y, **other)
    with pytest.raises(TypeError, match="Ridge"):
        tabular_pipeline(Ridge()).fit(X, y, X_val=X, y_val=y)


OTHERS = {
    "lr": "learning_rate_init",
    "optimizer": "solver",
    "seed": "random_state",
    "early_stopping_rounds": "n_iter_no_change",
}


@pytest.mark.parametrize("name", OTHERS)
def test_parameters_of_other_libraries(name):
    ours = OTHERS[name]
    for make in (
        MLPRegressor,
        partial(tabular_pipeline, "regressor"),
        partial(tabular_pipeline, "regressor", effort="best"),
    ):
        with pytest.raises(TypeError, match=rf"^MLPRegressor\(\) got an unexpected .*'{name}'. Write {ours}=...$"):
            make(**{name: 1})
    write = "Write " if ours == "random_state" else r"It is a parameter of the networks: .*\(MLPSoftmaxClassifier\("
    with pytest.raises(TypeError, match=rf"^MLPEnsembleClassifier\(\) got an unexpected .*'{name}'. {write}{ours}=..."):
        MLPEnsembleClassifier(**{name: 1})
    assert getattr(MLPRegressor(**{ours: 1}), ours) == 1


def test_every_other_name_is_for_a_parameter():
    known = set(MLPRegressor().get_params()) | set(MLPSoftmaxClassifier().get_params())
    assert set(OURS.values()) <= known
    assert not set(OURS) & known


def test_parameters_of_the_networks_given_to_an_ensembles_fit(data):
    with pytest.raises(TypeError, match=r"networks: MLPEnsembleRegressor\(MLPRegressor\(verbose=...\)\)\.$"):
        MLPEnsembleRegressor().fit(*data, verbose=1)
    with pytest.raises(
        TypeError, match=r"It is a parameter of the estimator: MLPEnsembleRegressor\(random_state=...\)"
    ):
        MLPEnsembleRegressor().fit(*data, random_state=1)


@pytest.mark.parametrize("model", [*models()[:2], MLPEnsembleClassifier(), MLPEnsembleRegressor()], ids=repr)
def test_errors_name_the_class_that_the_user_knows(model, data):
    X, y = data
    name = type(model).__name__
    with pytest.raises(TypeError, match=rf"^{name}\.fit\(\): missing a required argument: 'X'$"):
        model.fit()
    with pytest.raises(TypeError, match=rf"^{name}\.fit\(\): too many positional arguments$"):
        model.fit(X, y, y, X, y)
    with pytest.raises(TypeError, match=rf"^{name}\(\): too many positional arguments$"):
        type(model)(1, 2, 3)
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'colour'$"):
        type(model)(colour="red")
    with pytest.raises(TypeError, match=rf"^{name}\.score\(\) got an .* 'weights'. Write sample_weight=weights\.$"):
        model.score(X, y, weights=y)
    with pytest.raises(TypeError, match=rf"^{name}\.torch_inputs\(\): missing a required argument: 'X'$"):
        model.torch_inputs()


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("rate", [0.01, "0.01"])
def test_a_number_for_the_schedule(rate, model, data):
    model = clone(model)
    name = "learning_rate" if hasattr(model, "learning_rate") else "mlp__learning_rate"
    with pytest.raises(ValueError, match=r"Write learning_rate_init=0\.01: .* is the name of the schedule"):
        model.set_params(**{name: rate}).fit(*data)
    with pytest.raises(ValueError, match=r"Got 'linear' instead\.$"):
        model.set_params(**{name: "linear"}).fit(*data)


def test_a_text_for_a_number(data):
    for ensemble in (lambda model: model, MLPEnsembleRegressor):
        with pytest.raises(
            ValueError, match=r"Got '2e-3' instead\. Write alpha=2e-3, a number without quotation marks"
        ):
            ensemble(MLPRegressor(alpha="2e-3")).fit(*data)
    with pytest.raises(ValueError, match=r"Got 'small' instead\.$"):
        MLPRegressor(alpha="small").fit(*data)
