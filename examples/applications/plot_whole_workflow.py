"""
From a DataFrame with gaps to calibrated probabilities
======================================================

The whole way on one page. Who cancels next month? A ColumnTransformer prepares the table; the network weighs the rare
class up and stops early by a validation set of our own, which goes through the same preprocessing; a grid search,
followed by a progress bar, finds its width and dropout. Class weights make the rare class look likelier than it is,
which calibration puts right.
"""

from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.display import LossCurveDisplay

# %%
# Made-up customers; a tenth of the values in two columns is missing.

rng, n = np.random.default_rng(0), 6000
X = pd.DataFrame({"months": rng.exponential(20, n), "bill": rng.lognormal(3, 0.5, n), "calls": rng.poisson(2, n)})
X["plan"] = rng.choice(["basic", "family", "flat"], n, p=[0.5, 0.3, 0.2])
risk = np.where(X["plan"] == "basic", X["bill"] / 8, 0.5) + abs(X["calls"] - 2) - X["months"] / 6 - 3.0
y = np.where(rng.random(n) < 1 / (1 + np.exp(-risk)), "leaves", "stays")
X.loc[rng.random(n) < 0.1, "bill"], X.loc[rng.random(n) < 0.1, "plan"] = np.nan, None
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=2000, stratify=y, random_state=0)
X_train, X_val, y_train, y_val = train_test_split(X_train, y_train, test_size=1000, stratify=y_train, random_state=0)

# %%
# Metadata routing brings the validation set through the search to the network; ``transform_input`` sends it through the
# preprocessing on the way.

sklearn.set_config(enable_metadata_routing=True)
numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
table = ColumnTransformer([("numbers", numbers, ["months", "bill", "calls"]), ("plan", OneHotEncoder(), ["plan"])])
mlp = MLPSoftmaxClassifier(
    class_weight="balanced", learning_rate="constant", early_stopping=True, scoring="roc_auc", random_state=0
)
pipeline = Pipeline([("table", table), ("mlp", mlp)], transform_input=["X_val"])
search = GridSearchCV(pipeline, {"mlp__hidden_layer_sizes": [(20,), (50, 50)], "mlp__dropout": [0.0, 0.3]}, cv=3)
if hasattr(search, "set_callbacks"):  # scikit-learn 1.9 or newer
    from sklearn.callback import ProgressBar

    search.set_callbacks(ProgressBar())
search.fit(X_train, y_train, X_val=X_val, y_val=y_val)
best = search.best_estimator_
calibrated = CalibratedClassifierCV(FrozenEstimator(best)).fit(X_val, y_val)
sklearn.set_config(enable_metadata_routing=False)  # as it was

# %%
# Calibration leaves the order of the customers as it is, so ROC AUC stays, while the log loss falls.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
LossCurveDisplay.from_estimator(best, ax=left)
for name, model in {"weighted": best, "calibrated": calibrated}.items():
    p = model.predict_proba(X_test)[:, 0]
    auc, loss = roc_auc_score(y_test == "leaves", p), log_loss(y_test, 1 - p)
    print(f"{name}: ROC AUC {auc:.3f}, log loss {loss:.3f}")
    CalibrationDisplay.from_predictions(y_test == "leaves", p, n_bins=8, strategy="quantile", name=name, ax=right)
right.set(xlabel="predicted probability of leaving", ylabel="share that left")
right.legend(loc="upper left")

if find_spec("skl2onnx") and find_spec("onnxruntime"):  # pip install 'skbackprop[onnx]'
    import onnxruntime

    from skbackprop.onnx import to_inputs, to_onnx

    exported = to_onnx(best, X_test)
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    labels, _ = session.run(None, to_inputs(exported, X_test))
    print(f"ONNX Runtime gives the same labels: {np.array_equal(labels, best.predict(X_test))}")
plt.show()

# %%
# Left: how the best network of the search was trained, and which epoch was kept. Right: of customers given a
# probability by the weighted network far fewer leave than it says; calibrated on the validation set, the two agree.
