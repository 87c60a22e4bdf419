"""Train on a table, export the whole pipeline to ONNX, and answer without scikit-learn.

pip install 'skbackprop[onnx]' pandas
"""

import pathlib
import tempfile

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


def journeys(n=2000):
    """Make a table with numbers, categories and gaps, and whether each journey ends late."""
    rng = np.random.default_rng(0)
    distance = np.where(rng.random(n) < 0.05, np.nan, rng.gamma(2.0, 30.0, n))
    line = rng.choice(["bus", "tram", "train"], n)
    hour = rng.integers(5, 24, n)
    late = (line == "bus") & ((hour % 12 < 4) | (distance > 90))
    weather = pd.Series(rng.choice(["dry", "rain"], n)).mask(rng.random(n) < 0.1)  # some of it unknown
    X = pd.DataFrame({"distance": distance, "hour": hour, "line": line, "weather": weather})
    return X, np.where(late, "late", "on time")


X, y = journeys()
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
columns = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "hour"]),
        ("categories", OneHotEncoder(handle_unknown="ignore"), ["line", "weather"]),
    ]
)
model = make_pipeline(columns, MLPSoftmaxClassifier(random_state=0)).fit(X_train, y_train)

path = pathlib.Path(tempfile.mkdtemp()) / "late.onnx"
onnx_model = to_onnx(model, X_train)
onnx.save(onnx_model, path)

# from here on neither scikit-learn nor skbackprop is needed, but for to_inputs, which makes arrays of the columns
session = onnxruntime.InferenceSession(path)
label, probabilities = session.run(["label", "probabilities"], to_inputs(onnx_model, X_test))
difference = np.abs(probabilities - model.predict_proba(X_test)).max()
print(f"test accuracy {np.mean(label == y_test):.3f}, {path.stat().st_size / 1024:.0f} KiB")
print(f"labels equal: {np.array_equal(label, model.predict(X_test))}; largest difference {difference:.1e}")
