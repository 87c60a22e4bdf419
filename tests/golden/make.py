"""Make the golden files of the version that is installed: `python tests/golden/make.py`, once for each release.

They stay for ever: `test_persistence.py` loads those of every version and compares their predictions.
"""

import pathlib
import pickle
import warnings

import numpy as np

import skbackprop
from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop.preprocessing import PiecewiseLinearEncoder


def problem():
    """Rows, a class, labels, and a target each."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    v = X[:, :3] + 0.3 * rng.standard_normal((60, 3))
    return (X, np.asarray(["ash", "elm", "oak"])[np.argmax(v, axis=1)], (v > 0).astype(int), 100.0 + 20.0 * v[:, 0])


def models():
    """Small fitted models of each kind."""
    X, tree, labels, y = problem()
    params = {"random_state": 0, "max_iter": 10}
    stream = MLPRegressor((5,), solver="adam", loss="gaussian", random_state=0)
    for _ in range(3):
        stream.partial_fit(X, y)
    return {
        "classifier": MLPSoftmaxClassifier((6, 5), ["gelu", "tanh"], **params).fit(X, tree),
        "regressor": MLPRegressor((6,), early_stopping=True, **params).fit(X, y),
        "members": MLPSoftmaxClassifier((5,), n_members=3, input_scale=True, dtype="float32", **params).fit(X, tree),
        "multilabel": MLPSoftmaxClassifier((5,), loss="brier", solver="lbfgs", **params).fit(X, labels),
        "quantiles": MLPRegressor((5,), loss="quantile", quantile=[0.1, 0.9], **params).fit(X, y),
        "stream": stream,
        "encoder": PiecewiseLinearEncoder(n_bins=4, passthrough=True).fit(X),
    }


def answer(model, X):
    """What the model makes of X, and for a stream after one call more."""
    if hasattr(model, "transform"):
        return model.transform(X)
    answers = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    if model.get_params().get("loss") != "gaussian":
        return answers
    model.partial_fit(*problem()[::3])
    return np.stack([answers, *model.predict(X, return_std=True)])


def main():
    """Write a pickle and the expected answers of each model."""
    folder = pathlib.Path(__file__).parent / skbackprop.__version__
    folder.mkdir(exist_ok=True)
    X = problem()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten epochs are few
        for name, model in models().items():
            (folder / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
            np.save(folder / f"{name}.npy", answer(model, X))


if __name__ == "__main__":
    main()
