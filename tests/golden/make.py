"""Make the golden files of the version that is installed: `python tests/golden/make.py`, once for each release.

They stay for ever: `test_golden.py` loads those of every version, and compares what comes out with what came out then.
"""

import pathlib
import pickle
import warnings
import zipfile
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp

import skbackprop
from skbackprop import MLPRegressor, MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.ensemble import MLPEnsembleRegressor
from skbackprop.preprocessing import PiecewiseLinearEncoder

TREES = np.asarray(["ash", "elm", "oak"])
# of sixty rows
HELD_OUT = {"early_stopping": True, "validation_fraction": 0.3}
SHORT = {"random_state": 0, "max_iter": 20, "learning_rate_init": 0.03}
TABLE = SHORT | {"hidden_layer_sizes": (8, 8)}
DIES_AFTER = 8  # epochs
IN_SKOPS = ["classifier", "regressor", "table", "best"]
IN_JOBLIB = ["regressor", "members"]
IN_ONNX = ["classifier", "table", "regressor", "best"]


def problem():
    """Rows, a class, labels, and a target each."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    v = X[:, :3] + 0.3 * rng.standard_normal((60, 3))
    return (X, TREES[np.argmax(v, axis=1)], (v > 0).astype(int), 100.0 + 20.0 * v[:, 0])


def sparse_rows():
    """The same rows, of which half the entries are zero."""
    X = problem()[0]
    return sp.csr_array(np.where(X > 0.0, X, 0.0))


def frame():
    """The same rows twice, with categories and gaps: a column each of few and of many categories, and of booleans."""
    import pandas as pd

    X = np.vstack([problem()[0]] * 2)
    table = pd.DataFrame(X, columns=["height", "girth", "age", "light"])
    table["age"] = table["age"].where(np.arange(120) % 7 > 0)
    table["soil"] = pd.Series(np.asarray(["clay", "sand", None], dtype=object)[np.digitize(X[:, 3], [0.0, 1.5])])
    table["plot"] = [f"plot {k % 40}" for k in range(120)]
    table["felled"] = X[:, 1] > 1.0
    return table


def twice(y):
    """Targets of the rows of `frame`."""
    return np.concatenate([y, y])


def stream(model, y, **given):
    """Train a model by three calls of partial_fit."""
    for _ in range(3):
        model.partial_fit(problem()[0], y, **given)
    return model


def makers():
    """For each name the rows, the targets, and what makes a fitted model of them."""
    X, tree, labels, y = problem()
    XS, table, trees, ys = sparse_rows(), frame(), twice(tree), twice(y)
    known = table.drop(columns="plot")  # no column of which scikit-learn encodes the targets
    held_out = {"X_val": X[::3], "y_val": y[::3]}
    own = MLPSoftmaxClassifier((5,), **SHORT)

    def fitted(model, rows=X, **given):
        return rows, lambda targets: model.fit(rows, targets, **given)

    def recipe(kind, rows=known, **params):
        return fitted(tabular_pipeline(kind, **TABLE, **params), rows)

    return {
        "classifier": (tree, *fitted(MLPSoftmaxClassifier((6, 5), ["gelu", "tanh"], **SHORT))),
        "class_weights": (tree, *fitted(MLPSoftmaxClassifier((5,), class_weight="balanced", dtype="float32", **SHORT))),
        "sparse": (tree, *fitted(MLPSoftmaxClassifier((5,), **SHORT), XS)),
        "medium": (tree, *fitted(MLPSoftmaxClassifier((8,), matmul_precision="medium", dtype="float32", **SHORT))),
        "members": (tree, *fitted(MLPSoftmaxClassifier((5,), n_members=3, input_scale=True, dtype="float32", **SHORT))),
        "multilabel": (labels, *fitted(MLPSoftmaxClassifier((5,), loss="brier", solver="lbfgs", **SHORT))),
        "regressor": (y, *fitted(MLPRegressor((6,), **HELD_OUT, **SHORT))),
        "outputs": (np.stack([y, -y], axis=1), *fitted(MLPRegressor((5,), dtype="float32", **SHORT))),
        "held_out": (y, *fitted(MLPRegressor((5,), early_stopping=True, scoring="r2", **SHORT), **held_out)),
        "quantiles": (y, *fitted(MLPRegressor((5,), loss="quantile", quantile=[0.1, 0.9], **SHORT))),
        "stream": (
            y,
            X,
            lambda y: stream(
                MLPRegressor((5,), solver="adam", loss="gaussian", learning_rate_init=0.03, random_state=0), y
            ),
        ),
        "classes_stream": (
            tree,
            X,
            lambda y: stream(
                MLPSoftmaxClassifier((5,), solver="nadam", dtype="float32", learning_rate_init=0.03, random_state=0), y
            ),
        ),
        "intervals": (
            y,
            *fitted(
                MLPEnsembleRegressor(
                    MLPRegressor((5,), max_iter=5, learning_rate_init=0.03), oob_score=True, n_folds=3, random_state=0
                )
            ),
        ),
        "columns": (ys, *fitted(MLPRegressor((5,), numeric_encoder="piecewise_linear", n_bins=4, **SHORT), table)),
        "table": (trees, *recipe("classifier")),
        "table_regressor": (ys, *recipe("regressor")),
        "many_categories": (ys, *recipe("regressor", table)),
        "best": (trees, *recipe("classifier", effort="best")),
        "own": (trees, *fitted(tabular_pipeline(own), known)),
        "encoder": (None, *fitted(PiecewiseLinearEncoder(n_bins=4, passthrough=True))),
    }


def answers(model, X):
    """All that the model makes of X, by the method."""
    if hasattr(model, "transform"):
        return {"transform": model.transform(X)}
    found = {"predict": model.predict(X)}
    if hasattr(model, "predict_proba"):
        found["predict_proba"] = model.predict_proba(X)
    params = model.get_params()
    if params.get("loss") == "gaussian":
        found["std"] = model.predict(X, return_std=True)[1]
    if params.get("n_members", 1) > 1:
        found["members"] = model.predict(X, return_members=True)[1]
    if params.get("oob_score"):
        found["intervals"] = model.predict(X, interval=0.8)[1]
    return found


def after_a_step(model, X, y):
    """The same after one call of partial_fit, which uses all that is saved of the optimizer."""
    return {f"then_{name}": value for name, value in answers(model.partial_fit(X, y), X).items()}


def checkpointed():
    """An estimator, and what it is fitted to: its checkpoint is that of a fit that did not come to its end."""
    X, tree, _, _ = problem()
    return MLPSoftmaxClassifier((5,), n_members=2, **HELD_OUT, **SHORT), X, tree


def main():
    """Write each model in each format, and what it answers."""
    import joblib
    import skops.io

    from skbackprop._fit import checkpoint
    from skbackprop.onnx import to_onnx

    write = checkpoint.FileCheckpoint.write

    def dying(file, engine, state):
        write(file, engine, state)
        if state.epoch == DIES_AFTER:
            raise RuntimeError("killed")

    folder = pathlib.Path(__file__).parent / skbackprop.__version__
    folder.mkdir()  # of a version that has its files none may be replaced
    warnings.simplefilter("ignore")  # twenty epochs are few
    for name, (y, X, make) in makers().items():
        model = make(y)
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
        if name in IN_SKOPS:
            skops.io.dump(model, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
        if name in IN_JOBLIB:
            joblib.dump(model, folder / f"{name}.joblib")
        if name in IN_ONNX:
            (folder / f"{name}.onnx").write_bytes(to_onnx(model, X).SerializeToString())
        found = answers(model, X)
        np.savez_compressed(folder / f"{name}.npz", **found, **(after_a_step(model, X, y) if "stream" in name else {}))

    model, X, y = checkpointed()
    path = folder / "fit.checkpoint"
    with patch.object(checkpoint, "SHARE", 0), patch.object(checkpoint.FileCheckpoint, "write", dying):
        try:
            model.fit(X, y, checkpoint=path)
        except RuntimeError:
            np.savez_compressed(folder / "fit.npz", **answers(model.fit(X, y), X))


if __name__ == "__main__":
    main()
