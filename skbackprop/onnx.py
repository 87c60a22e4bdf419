"""Export to ONNX: fitted models that run without Python, in ONNX Runtime and wherever else ONNX is read."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from sklearn.base import BaseEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.utils.validation import check_is_fitted

import skbackprop
from skbackprop._columns import is_frame
from skbackprop._ensemble import BaseEnsemble
from skbackprop._estimator import BaseMLP
from skbackprop._interop.onnx import inputs, pipelines, wrappers
from skbackprop._interop.onnx.converters import register
from skbackprop._interop.onnx.graph import OPSET, require
from skbackprop._interop.onnx.graphs import graph_of
from skbackprop._interop.onnx.known import encoding_in
from skbackprop.preprocessing import PiecewiseLinearEncoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
    from onnx import ModelProto
    from pandas import DataFrame

__all__ = ["register_skl2onnx", "to_inputs", "to_onnx"]


def to_onnx(
    model: BaseEstimator,
    X: DataFrame | ArrayLike | None = None,
    *,
    dtype: Literal["float32", "float64"] | None = None,
    target_opset: int = OPSET,
    name: str | None = None,
) -> ModelProto:
    """Export a fitted model to ONNX.

    Estimators of this package are built from ONNX's operators directly. Everything around them, such as a Pipeline or a
    ColumnTransformer, goes through the package skl2onnx, to which our estimators and `PiecewiseLinearEncoder` are made
    known; so does what `tabular_pipeline` makes. Of a search (GridSearchCV and the like) the best estimator is
    exported. Thresholds (TunedThresholdClassifierCV, FixedThresholdClassifier), sigmoid calibrations and transformed
    targets around a model become part of the graph, and so do the encodings of columns that our estimators learn
    themselves (`numeric_encoder`, `categorical_features`).

    The graph answers as `predict` does, or there is an error that says why it cannot. What is not known to answer alike
    is exported only if it does for the rows of X.

    Parameters
    ----------
    model : estimator or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n_samples, n_features), default=None
        Some rows as `predict` takes them. The names and kinds of the columns are read, and where onnxruntime is
        installed the graph's answers are compared with the model's, for some hundred of them. Needed if the model was
        fitted to a DataFrame, unless one of our estimators, or `tabular_pipeline`'s first step, gets that.
    dtype : {'float32', 'float64'}, default=None
        In what to compute. None: what our estimator was fitted with, and float32 for Pipelines and other estimators
        around, as some of their operators have no other. Numbers such as identifiers and Unix seconds, of which float32
        would lose digits that a scaler or bins need, go in as float64 then.
    target_opset : int, default=18
        Version of ONNX's operators, 18 or later.
    name : str, default=None
        Name of the graph; that of the model's class by default.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Checked by `onnx.checker`. Save it by ``onnx.save(onnx_model, path)``.

    Raises
    ------
    ImportError
        If onnx or, where it is needed, skl2onnx is missing: ``pip install 'skbackprop[onnx]'``.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If a step cannot be exported, or the graph would answer otherwise than `predict`; the message names it.

    Notes
    -----
    Names and shapes are those of skl2onnx. Numbers go in as one matrix "X" of shape (n_samples, n_features). If X is a
    DataFrame, a Pipeline has one input of shape (n_samples, 1) per column instead, by the column's name: `to_inputs`
    makes them. An estimator that encodes columns itself has such inputs too, if X is a DataFrame or some columns are
    categories; where it was fitted to an array, these are called "x0", "x1" and so on. Categories are texts, and a
    missing one is empty. Out come, of

    - classifiers: "label" of shape (n_samples,), int64 or string, and "probabilities" of shape (n_samples, n_classes),
      in the order of ``classes_``. For multilabel targets "label" is int64 of shape (n_samples, n_labels);
    - regressors: "variable" of shape (n_samples, n_targets), also for one target. Several quantiles take the place of
      the one target, or come as a third axis if y had two. With ``loss='gaussian'`` also "std", but not of ensembles,
      nor where the targets were transformed.

    Labels that are booleans or floats come out as int64. What `predict` checks, such as that X is finite, the
    graph does not. A probability may underflow to 0, and where two agree but for rounding the label may be the other.
    Our estimators may have been fitted to arrays of any library, the other steps of a Pipeline to NumPy's only.

    Examples
    --------
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> from skbackprop.onnx import to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPSoftmaxClassifier(random_state=0).fit(X, load_iris().target_names[y])
    >>> session = onnxruntime.InferenceSession(to_onnx(model, dtype="float32").SerializeToString())
    >>> label, probabilities = session.run(None, {"X": X[:2].astype("float32")})
    >>> label
    array(['setosa', 'setosa'], dtype=object)
    """
    require("onnx")
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {dtype!r}.")
    if target_opset < OPSET:
        raise ValueError(f"target_opset must be {OPSET} or later, got {target_opset}.")
    # scikit-learn says that it is not fitted where it predicts by a fitted one
    is_around_fitted = isinstance(model, FixedThresholdClassifier) and not hasattr(model, "estimator_")
    check_is_fitted(model.estimator if is_around_fitted else model)
    model, X = getattr(model, "best_estimator_", model), inputs.as_frame(X)
    name = type(model).__name__ if name is None else name
    ours = BaseMLP | BaseEnsemble | PiecewiseLinearEncoder
    if isinstance(model, ours):
        return _of_ours(model, X, dtype, pipelines.Dtypes.of([model], dtype).taken, target_opset, name)
    cores, behind = wrappers.peeled(wrappers.simplified(copy.deepcopy(model)))
    calibration, dtypes = wrappers.calibration_in(behind), pipelines.Dtypes.of(cores, dtype)
    logits = calibration is not None and calibration.of_logits
    doubts: list[str] = []
    graphs = []
    for core in cores:
        if encoding_in(core) is not None or (isinstance(core, ours) and not is_frame(X)):
            graphs.append(_of_ours(core, X, dtype or "float32", dtypes.taken, target_opset, name, logits))
        else:
            graphs.append(pipelines.convert(core, X, dtypes, target_opset, name, logits, doubts))
    onnx_model = graphs[0] if calibration is None else wrappers.merged(graphs)
    del onnx_model.metadata_props[:]
    inputs.note_texts(onnx_model, inputs.plain_columns(cores[0]))
    wrappers.put_behind(onnx_model, behind)
    pipelines.compare(model, onnx_model, X, doubts)
    return onnx_model


def _of_ours(
    model: BaseMLP | BaseEnsemble | PiecewiseLinearEncoder,
    X: DataFrame | ArrayLike | None,
    dtype: str | None,
    taken: np.dtype,
    opset: int,
    name: str,
    logits: bool = False,
) -> ModelProto:
    """Export an estimator or encoder of this package alone."""
    names = None if isinstance(model, PiecewiseLinearEncoder) else inputs.names_of(model, X)
    graph, version = graph_of(model, dtype, logits, taken=taken, names=names), skbackprop.__version__
    onnx_model = graph.model(name, opset, producer_name="skbackprop", producer_version=version)
    if names is not None:
        own = getattr(model, "feature_names_in_", X.columns if is_frame(X) else names)
        inputs.name_columns(onnx_model, [str(key) for key in own])
        inputs.note_texts(onnx_model, inputs.plain_columns(model))
    return onnx_model


def to_inputs(onnx_model: ModelProto, X: DataFrame | ArrayLike) -> dict[str, np.ndarray]:
    """Make of rows what ONNX Runtime takes.

    Parameters
    ----------
    onnx_model : onnx.ModelProto
        From `to_onnx`.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    inputs : dict of str to ndarray
        One matrix, or one column per input, in the types that the graph asks for. In columns of text, True and False
        become "1" and "0" as the numbers do, other numbers their text, and missing values the empty string.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbackprop import tabular_pipeline
    >>> from skbackprop.onnx import to_inputs, to_onnx
    >>> X = pd.DataFrame({"age": [25, 31, 48, 58] * 10, "town": ["Ulm", "Bonn", "Bonn", None] * 10})
    >>> model = tabular_pipeline(random_state=0).fit(X, ["no", "yes", "yes", "no"] * 10)
    >>> inputs = to_inputs(to_onnx(model, X), X[2:4])
    >>> inputs["age"].ravel(), inputs["town"].ravel()
    (array([48., 58.], dtype=float32), array(['Bonn', ''], dtype=object))
    """
    return inputs.feeds(onnx_model, inputs.as_frame(X))


def register_skl2onnx() -> None:
    """Make this package's estimators known to skl2onnx.

    Then ``skl2onnx.to_onnx`` and ``skl2onnx.convert_sklearn`` export Pipelines with them; `to_onnx` calls this itself.
    They do not keep thresholds, nor the digits that float32 lacks, as `to_onnx` does.

    Raises
    ------
    ImportError
        If skl2onnx is missing: ``pip install 'skbackprop[onnx]'``.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skbackprop import MLPRegressor
    >>> from skbackprop.onnx import register_skl2onnx
    >>> X = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(random_state=0)).fit(X, X[:, 0])
    >>> register_skl2onnx()
    >>> [output.name for output in skl2onnx.to_onnx(model, X).graph.output]
    ['variable']
    """
    register()
