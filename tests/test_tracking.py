"""The recipes of the page on callbacks write what they say."""

import pathlib
import textwrap

import pytest
from sklearn.model_selection import train_test_split

from skbackprop import MLPSoftmaxClassifier

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 introduced callbacks")
PAGE = pathlib.Path(__file__).parents[1] / "docs/user_guide/callbacks.rst"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the tests run without the documentation")


def recipe(name):
    """The code of a block of the page."""
    text = PAGE.read_text(encoding="utf-8").split(f".. code-block:: python\n   :name: {name}\n")[1]
    lines = text.splitlines()
    end = next(i for i, line in enumerate(lines) if line and not line.startswith("   "))
    return textwrap.dedent("\n".join(lines[:end]))


@pytest.fixture
def names(digits):
    X_train, X_test, y_train, y_test = train_test_split(*digits, random_state=0)
    model = MLPSoftmaxClassifier((8,), epochs=3, weight_decay=0.5, random_state=0)
    return {"X_train": X_train, "X_test": X_test, "y_train": y_train, "y_test": y_test, "model": model}


# MLflow's own, and what it imports
@pytest.mark.filterwarnings("ignore")
def test_mlflow(names, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    exec(recipe("mlflow"), names)
    run, model = mlflow.last_active_run(), names["model"]
    client = mlflow.MlflowClient()
    logged = {name: client.get_metric_history(run.info.run_id, name) for name in ("loss", "val_loss")}
    assert [metric.value for metric in logged["loss"]] == model.loss_curve_
    assert [metric.value for metric in logged["val_loss"]] == model.validation_loss_curve_
    assert [metric.step for metric in logged["loss"]] == [1, 2, 3]
    assert run.data.metrics["accuracy"] == model.score(names["X_test"], names["y_test"])
    assert run.data.params["batch_size"] == str(model.auto_params_["batch_size"])
    assert run.data.params["epochs"] == "3"


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(names, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    exec(recipe("tensorboard"), names)
    events = reader.EventAccumulator(str(tmp_path / "runs/digits"))
    events.Reload()
    logged = events.Scalars("loss")
    assert [event.step for event in logged] == [1, 2, 3]
    assert [event.value for event in logged] == pytest.approx(names["model"].loss_curve_, rel=1e-6)  # as float32
    assert events.Tags()["histograms"] == ["first_layer"]
