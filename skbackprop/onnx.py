"""Export to ONNX: fitted models that run without Python, in ONNX Runtime and other programs."""

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

    Estimators of this package are converted to ONNX operators directly. Pipelines and other scikit-learn estimators
    around them are converted with the package skl2onnx. For a search, such as GridSearchCV, the best estimator is
    exported. The graph includes thresholds (TunedThresholdClassifierCV, FixedThresholdClassifier), sigmoid calibration,
    transformed targets, and the encoding of columns (`numeric_encoder`, `categorical_features`).

    The graph gives the same predictions as `predict`; if it cannot, an error explains why. If the two are not known to
    agree, the model is exported only if they agree on the rows of X.

    Parameters
    ----------
    model : estimator or Pipeline
        Fitted model.
    X : array-like or DataFrame of shape (n_samples, n_features), default=None
        Some rows as `predict` takes them. They provide the names and types of the columns. If onnxruntime is installed,
        the predictions of the graph and the model are compared on some hundred rows. Required if the model was fitted
        to a DataFrame, unless an estimator of this package, or the first step of `tabular_pipeline`, reads it.
    dtype : {'float32', 'float64'}, default=None
        Precision of the computation. By default that of the fit for an estimator of this package, and float32 for a
        Pipeline or another estimator around it, as some operators have no other. Numbers that would lose needed digits
        in float32, such as identifiers and Unix times, are then float64 inputs.
    target_opset : int, default=18
        Version of the ONNX operators, 18 or later.
    name : str, default=None
        Name of the graph. By default the name of the model's class.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Model, checked by `onnx.checker`. Save it with ``onnx.save(onnx_model, path)``.

    Raises
    ------
    ImportError
        If onnx or, if needed, skl2onnx is missing: ``pip install 'skbackprop[onnx]'``.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If a step cannot be exported, or the graph would differ from `predict`. The message names the step.

    Notes
    -----
    Names and shapes are those of skl2onnx. The input is a matrix "X" of shape (n_samples, n_features). If X is a
    DataFrame, a Pipeline has one input of shape (n_samples, 1) per column instead, with the column's name; `to_inputs`
    makes them. An estimator that encodes columns itself also has one input per column if X is a DataFrame or there are
    categories; if it was fitted to an array, they are named "x0", "x1" and so on. Categories are strings, and missing
    ones are empty strings. The outputs are:

    - for classifiers, "label" of shape (n_samples,), int64 or string, and "probabilities" of shape
      (n_samples, n_classes), in the order of ``classes_``. For multilabel targets "label" is int64 of shape
      (n_samples, n_labels);
    - for regressors, "variable" of shape (n_samples, n_targets), also for one target. Several quantiles replace the
      target axis, or form a third axis if y was 2-D. With ``loss='gaussian'`` there is also "std", except for ensembles
      and transformed targets.

    Boolean and float labels become int64. The graph does not check its inputs, for example that X is finite. A
    probability may underflow to 0, and if two probabilities are equal up to rounding the label may differ. Estimators
    of this package may have been fitted to arrays of any library, other steps of a Pipeline only to NumPy arrays.

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
    """Convert rows to the inputs of an exported model, for ONNX Runtime.

    Parameters
    ----------
    onnx_model : onnx.ModelProto
        Result of `to_onnx`.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows to predict.

    Returns
    -------
    inputs : dict of str to ndarray
        One matrix, or one array per column, in the dtypes of the graph's inputs. In string columns True and False
        become "1" and "0", as these numbers do, other numbers become their text, and missing values the empty string.

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
    """Register this package's estimators with skl2onnx.

    Afterwards ``skl2onnx.to_onnx`` and ``skl2onnx.convert_sklearn`` can export Pipelines with these estimators. Unlike
    `to_onnx`, which registers them itself, they lose thresholds, and digits beyond float32.

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
