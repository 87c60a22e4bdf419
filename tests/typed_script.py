"""A user's script over the public names, which type checkers read (test_types.py); nobody runs it.

Lines that end in "# wrong" must be errors, and no others.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

import skbackprop
from skbackprop import DivergenceError, MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.data import Shards
from skbackprop.display import LossCurveDisplay
from skbackprop.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor
from skbackprop.inspection import check_gradients, feature_importances, layer_outputs
from skbackprop.onnx import register_skl2onnx, to_inputs, to_onnx
from skbackprop.persistence import TRUSTED_TYPES, VersionWarning
from skbackprop.preprocessing import PiecewiseLinearEncoder

Numbers = npt.NDArray[np.float64]
rng = np.random.default_rng(0)
X: Numbers = rng.normal(size=(100, 3))
y = rng.integers(0, 2, 100)
rows = pd.DataFrame({"age": [25, 31, None], "town": ["Ulm", None, "Bonn"]})

# ------------------------------------------------------------------------------- the estimators ----

classifier = MLPSoftmaxClassifier(
    (20, 10), ["relu", "tanh"], loss="focal", solver="nadam", learning_rate="cosine", learning_rate_init=0.01,
    initializer="he_normal", dropout=[0.1, 0.2], max_grad_norm=None, early_stopping=True, n_iter_no_change=np.inf,
    scoring="accuracy", dtype="float32", engine="reference", numeric_encoder="piecewise_linear", random_state=0,
    class_weight="balanced",
)  # fmt: skip
fitted: MLPSoftmaxClassifier = classifier.fit(X, y, X_val=X, y_val=y, checkpoint=Path("training"))
stepped: MLPSoftmaxClassifier = classifier.partial_fit(X, y, classes=[0, 1], total_samples=100)
p: Numbers = classifier.predict_proba(X)
log_p: Numbers = classifier.predict_log_proba(X)
accuracy: float = classifier.score(X, y)
asks: MLPSoftmaxClassifier = classifier.set_fit_request(X_val=True, y_val=True).set_partial_fit_request(X_val=True)
best: float = max(classifier.validation_scores_ or [0.0])
losses: list[float] = classifier.loss_curve_
epochs: int = classifier.n_iter_ + classifier.best_iter_
chosen: dict[str, Any] = classifier.auto_params_
first_layer: Numbers = classifier.coefs_[0] @ classifier.coefs_[1] + classifier.intercepts_[1]
labels = classifier.classes_.tolist()
same: MLPSoftmaxClassifier = MLPSoftmaxClassifier.from_sklearn(classifier.to_sklearn())
classifier.to_torch().eval()

regressor = MLPRegressor(64, "tanh", loss="quantile", quantile=[0.1, 0.9], weight_decay=0.5, epochs=16, batch_size=32)
predicted = regressor.fit(X, y, sample_weight=np.ones(100)).predict(X)
scale: Numbers = regressor.target_scale_
make_pipeline(StandardScaler(), regressor).fit(X, y)

try:
    regressor.fit(X, y)
except DivergenceError as error:
    error.estimator.predict(X)

# ---------------------------------------------------------------------- tables, ensembles, data ----

pipeline = tabular_pipeline("regressor", effort="best", oob_score=True, n_members=2)
pipeline.fit(rows, [1.0, 2.0, 3.0]).predict(rows)
tabular_pipeline(MLPRegressor(numeric_encoder="piecewise_linear"), max_categories=10)
ensemble: MLPEnsembleRegressor = MLPEnsembleRegressor(MLPRegressor(), oob_score=True, random_state=0).fit(X, y)
middle, bounds = ensemble.predict(X, interval=0.9)
r2: float = ensemble.oob_score_
votes = MLPEnsembleClassifier(n_folds=5).fit(X, y).predict_proba(X)
for block, targets, weights in Shards("folder", sample_weight="weight", memory="1GB").blocks():
    classifier.partial_fit(block, targets, weights)
codes = PiecewiseLinearEncoder(n_bins=4).fit(X).transform(X)
edges: list[npt.NDArray[Any]] = PiecewiseLinearEncoder().fit(X).bin_edges_

# -------------------------------------------------------------------------- looking, and leaving ----

LossCurveDisplay.from_estimator(classifier, name="mine").plot()
worst: float = check_gradients(classifier, X, y)
importances: Numbers = feature_importances(pipeline)
hidden: Numbers = layer_outputs(classifier, X, layer=1)
graph = to_onnx(pipeline, rows, dtype="float64")
graph.SerializeToString()
inputs = to_inputs(graph, rows)["age"].shape
register_skl2onnx()
trusted: list[str] = [*TRUSTED_TYPES]
warnings.simplefilter("error", VersionWarning)
version: str = skbackprop.__version__
skbackprop.show_config()

# ---------------------------------------------------------------------------------------- wrong ----

MLPSoftmaxClassifier(solver="adamw")  # wrong
MLPSoftmaxClassifier(loss="squared_error")  # wrong
MLPSoftmaxClassifier(activation="sigmoid")  # wrong
MLPSoftmaxClassifier(activation=["relu", "sigmoid"])  # wrong
MLPSoftmaxClassifier(learning_rate=0.01)  # wrong
MLPSoftmaxClassifier(dtype="float16")  # wrong
MLPSoftmaxClassifier(hidden_layers=(100,))  # wrong
MLPRegressor(loss="mse")  # wrong
MLPRegressor(solver="Adam")  # wrong
MLPRegressor(learning_rate="one_cycle")  # wrong
MLPRegressor(initializer="xavier")  # wrong
MLPRegressor(numeric_encoder="ple")  # wrong
MLPRegressor(class_weight="balanced")  # wrong
tabular_pipeline("regressor", effort="high")  # wrong
to_onnx(pipeline, rows, dtype="half")  # wrong
