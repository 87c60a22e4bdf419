"""
Deployment with ONNX
====================

A Pipeline that imputes missing values, scales numbers and encodes categories is trained on a table of journeys and
exported as one file. ONNX Runtime makes the same predictions on a server or a phone, without scikit-learn, and is much
faster for single rows. This needs ``pip install 'skbackprop[onnx]' pandas``.
"""

import pathlib
import tempfile
import timeit

import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.onnx import to_inputs, to_onnx

# %%
# The table has numbers, categories and missing values. The target is whether a journey ends late.

rng, n = np.random.default_rng(0), 2000
distance = np.where(rng.random(n) < 0.05, np.nan, rng.gamma(2.0, 30.0, n))
line = rng.choice(["bus", "tram", "train"], n)
hour = rng.integers(5, 24, n)
late = (line == "bus") & ((hour % 12 < 4) | (distance > 90))
weather = pd.Series(rng.choice(["dry", "rain"], n)).mask(rng.random(n) < 0.1)  # some of it unknown
X = pd.DataFrame({"distance": distance, "hour": hour, "line": line, "weather": weather})
y = np.where(late ^ (rng.random(n) < 0.05), "late", "on time")  # 5 % of the labels are noise

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
columns = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "hour"]),
        ("categories", OneHotEncoder(handle_unknown="ignore"), ["line", "weather"]),
    ]
)
model = make_pipeline(columns, MLPSoftmaxClassifier(random_state=0)).fit(X_train, y_train)

# %%
# One file contains the whole Pipeline.

path = pathlib.Path(tempfile.mkdtemp()) / "late.onnx"
onnx_model = to_onnx(model, X_train)
onnx.save(onnx_model, path)

# %%
# From here on neither scikit-learn nor skbackprop is needed, except for ``to_inputs``, which converts the columns to
# arrays.

session = onnxruntime.InferenceSession(path)
label, probabilities = session.run(["label", "probabilities"], to_inputs(onnx_model, X_test))
ours = model.predict_proba(X_test)
print(f"test accuracy {np.mean(label == y_test):.3f}, {path.stat().st_size / 1024:.0f} KiB")
print(
    f"labels equal: {np.array_equal(label, model.predict(X_test))}; "
    f"largest difference {np.abs(probabilities - ours).max():.1e}"
)

# %%
# The time of a prediction for one row:

row, inputs = X_test[:1], to_inputs(onnx_model, X_test[:1])
calls = {
    "our pipeline": lambda: model.predict_proba(row),
    "ONNX Runtime\nwith to_inputs": lambda: session.run(None, to_inputs(onnx_model, row)),
    "ONNX Runtime": lambda: session.run(None, inputs),
}
times = {name: min(timeit.repeat(call, number=20, repeat=5)) / 20 * 1e3 for name, call in calls.items()}

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot([0, 1], [0, 1], color="0.8", zorder=0)
left.scatter(ours[:, 0], probabilities[:, 0], s=14, alpha=0.5)
left.set(xlabel="probability of being late, our pipeline", ylabel="the same, ONNX Runtime")
bars = right.barh(list(times), list(times.values()), color=["C0", "C1", "C1"])
right.bar_label(bars, fmt="%.3g ms", padding=4)
right.set(xlabel="milliseconds for a single row, as measured in this run")
right.invert_yaxis()
right.margins(x=0.3)
plt.show()

# %%
# Left: both give the same probabilities, within the precision of float32. Right: the time of one prediction. Each step
# of the Pipeline validates the table and makes a new one. The ONNX file has all steps in one graph.
