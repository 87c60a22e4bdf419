"""Files of every version that was released: they load, answer as they did, and training goes on.

What is promised of them stands in docs/compatibility.rst; `golden/make.py` made them.
"""

import importlib.util
import pathlib
import pickle
import re
import shutil
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

import skbackprop
from skbackprop.persistence import TRUSTED_TYPES, VersionWarning

GOLDEN = pathlib.Path(__file__).parent / "golden"
spec = importlib.util.spec_from_file_location("make_golden", GOLDEN / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MODELS = [path for path in sorted(GOLDEN.glob("*/*.*")) if path.suffix in (".pickle", ".joblib", ".skops")]
GRAPHS = sorted(GOLDEN.glob("*/*.onnx"))
CHECKPOINTS = sorted(GOLDEN.glob("*/*.checkpoint"))
# Levels of instructions add in other orders, by which a sum changes by some 1e-16 (float64) or 1e-7 (float32) of its
# largest term, and a small probability by more. Products of bfloat16, where there is a unit for them, have 8 bits.
SAME = {
    "float64": {"rtol": 1e-10, "atol": 1e-12},
    "float32": {"rtol": 1e-4, "atol": 1e-5},
    "bfloat16": {"rtol": 0.0, "atol": 0.05},
}


def identity(path):
    return f"{path.parent.name}-{path.name}"


@pytest.fixture(scope="module")
def problems():
    """The targets and rows of each kind of model."""
    return {name: problem[:2] for name, problem in make.makers().items()}


def load(path):
    """Load a model, and tell whether scikit-learn's own objects in it are of another version of scikit-learn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if path.suffix == ".skops":
            model = pytest.importorskip("skops.io").load(path, trusted=TRUSTED_TYPES)
        elif path.suffix == ".joblib":
            model = joblib.load(path)
        else:
            model = pickle.loads(path.read_bytes())
    kinds = {warning.category for warning in caught}
    if path.parent.name != skbackprop.__version__:
        assert VersionWarning in kinds
    assert kinds <= {VersionWarning, InconsistentVersionWarning}
    return model, InconsistentVersionWarning in kinds


def precision(model):
    """The number format that the model's answers come from."""
    params = {name.rpartition("__")[2]: value for name, value in model.get_params().items()}
    if params.get("matmul_precision") == "medium":
        return "bfloat16"
    return "float32" if params.get("dtype") == "float32" else "float64"


def assert_same(found, path, of, names=None):
    """Compare answers, all or those with the names, with those of the file beside it."""
    expected = np.load(path.with_suffix(".npz"))
    for name in names or expected.files:
        values = expected[name]
        if values.dtype.kind == "f":
            assert_allclose(found[name], values, err_msg=name, **SAME[of])
        else:
            assert_array_equal(found[name], values, err_msg=name)


def test_each_version_has_what_its_maker_makes():
    names = {path.stem for path in MODELS if path.parent.name == skbackprop.__version__}
    assert names == set(make.makers())
    assert {path.stem for path in MODELS if path.parent.name == "0.1.0"} < names
    answers = {path.with_suffix("") for path in GOLDEN.glob("*/*.npz")}
    assert {path.with_suffix("") for path in MODELS + GRAPHS + CHECKPOINTS} == answers


@pytest.mark.parametrize("path", MODELS, ids=identity)
def test_a_model_answers_as_it_did(path, problems):
    model, is_foreign = load(path)
    if is_foreign:  # of these scikit-learn promises nothing, and its warning says so
        return
    y, X = problems[path.stem]
    found = make.answers(model, X)
    assert found
    if "stream" in path.stem:
        found |= make.after_a_step(model, X, y)
    of = precision(model)
    if path.parent.name == "0.1.0" and path.stem == "stream":
        of = "float32"  # the floor of the variance is younger
    assert_same(found, path, of)


@pytest.mark.parametrize("path", MODELS, ids=identity)
def test_a_model_can_be_trained_further(path, problems):
    model, is_foreign = load(path)
    if is_foreign:
        return
    y, X = problems[path.stem]
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(model))
    again = clone(model)
    assert repr(again) == repr(model)
    if hasattr(model, "transform") or path.stem in ("best", "intervals", "multilabel"):
        return  # L-BFGS, encoders and ensembles begin anew
    network = model.steps[-1][1] if hasattr(model, "steps") else model
    network.set_params(early_stopping=False, validation_fraction=0.1, scoring=None)  # of no effect on what follows
    n_epochs, first = network.n_iter_, network.loss_curve_[0]
    for _ in range(3):
        model.partial_fit(X, y)
    assert network.n_iter_ == len(network.loss_curve_) == n_epochs + 3
    assert network.loss_curve_[-1] < first
    network.set_params(warm_start=True, max_iter=2)
    model.fit(X, y)
    assert network.n_iter_ == 2
    assert network.loss_curve_[0] < first


@pytest.mark.parametrize("path", GRAPHS, ids=identity)
def test_a_graph_takes_what_we_make_of_rows(path, problems):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    from skbackprop.onnx import to_inputs

    graph = onnx.load(path)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = dict(
        zip(
            [out.name for out in session.get_outputs()],
            session.run(None, to_inputs(graph, problems[path.stem][1])),
            strict=True,
        )
    )
    named = {"label": "predict", "probabilities": "predict_proba", "variable": "predict"}
    found = {named[name]: value[:, 0] if name == "variable" else value for name, value in outputs.items()}
    assert_same(found, path, "float32", names=found)


@pytest.mark.parametrize("path", CHECKPOINTS, ids=identity)
def test_a_fit_goes_on_from_its_checkpoint(path, tmp_path, capsys):
    model, X, y = make.checkpointed()
    shutil.copy(path, tmp_path / "fit")
    model.set_params(verbose=1).fit(X, y, checkpoint=tmp_path / "fit")
    printed = [int(number) for number in re.findall(r"^epoch +(\d+)", capsys.readouterr().out, re.MULTILINE)]
    assert printed == list(range(make.DIES_AFTER + 1, model.n_iter_ + 1))
    assert_same(make.answers(model, X), path, "float64")
