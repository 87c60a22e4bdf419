"""Conversions as methods of the estimators: scikit-learn's multi-layer perceptron and torch's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state

from skbackprop._checks.arrays import check_inputs
from skbackprop._checks.calls import spelled
from skbackprop._checks.constraints import fit_spec
from skbackprop._checks.tables import read_table
from skbackprop._engines.encoded_table import dense
from skbackprop._fit.device import compute_device, to_host
from skbackprop._fit.fit import FitResult
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.inputs import InputEncoding
from skbackprop._fit.spec import FitPlan
from skbackprop._fit.state import TrainState
from skbackprop._prediction import of_one_model
from skbackprop._types import Array, Data

if TYPE_CHECKING:
    import torch
    from sklearn.neural_network import MLPClassifier, MLPRegressor


class Convertible:
    """Conversions as methods of the estimators; the attributes and methods that they need are declared first."""

    random_state: int | np.random.RandomState | None
    _settings: FitPlan
    _progress: TrainState
    get_params: Callable[..., dict[str, object]]
    __fitted_model__: Callable[..., FittedModel]
    _attributes: Callable[[FitResult], dict[str, object]]
    _publish: Callable[[dict[str, object]], Self]

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Convert to a fitted MLP of scikit-learn that makes the same predictions.

        Its weights include the input scale, the target scales and, for regression, the members. For two classes it has
        one output unit instead of two. Parameters for later training are converted if it has them too, `alpha` to
        ``alpha * batch_size / n_samples``. A solver, schedule or loss that it lacks is replaced by its default.

        Returns
        -------
        model : sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            Converted model, with NumPy arrays. For loss='gaussian' it predicts only the mean. One target is always
            predicted as 1-D. With n_members it is n_members times as wide.

        Raises
        ------
        ValueError
            If no MLP of scikit-learn makes the same predictions. It must have the same activation in all hidden layers,
            one of 'identity', 'logistic', 'tanh' and 'relu'; at least two classes; a single quantile; one member,
            except for regression with an identity link; and inputs that are not encoded (`numeric_encoder`,
            `categorical_features`).

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skbackprop import MLPSoftmaxClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPSoftmaxClassifier((10,), "tanh", random_state=0).fit(X, y)
        >>> theirs = model.to_sklearn()
        >>> type(theirs)
        <class 'sklearn.neural_network._multilayer_perceptron.MLPClassifier'>
        >>> bool(abs(model.predict_proba(X) - theirs.predict_proba(X)).max() < 1e-12)
        True
        """
        from skbackprop._interop.sklearn import to_sklearn  # here, as its import takes long

        model = self.__fitted_model__(on_host=True)
        return to_sklearn(model, self.get_params(deep=False), self._settings, self._progress, self.__dict__)

    @classmethod
    def from_sklearn(cls, model: MLPClassifier | MLPRegressor) -> Self:
        """Convert a fitted MLP of scikit-learn to a fitted estimator that makes the same predictions.

        Training can continue with `partial_fit`, or with `fit` and ``warm_start=True``; the state of the optimizer is
        not converted. Parameters are converted so that training has the same meaning. For minibatch solvers `alpha`
        becomes ``alpha * n_samples / batch_size``, as scikit-learn divides its penalty by the rows of the batch. The
        learning rate is constant, except for 'sgd'. Targets are not scaled. Early stopping uses accuracy or R^2.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            Fitted model. It is not changed.

        Returns
        -------
        estimator : MLPSoftmaxClassifier or MLPRegressor
            An estimator of this class.

        Raises
        ------
        TypeError
            If the model is not scikit-learn's counterpart of this class.
        NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from skbackprop import MLPSoftmaxClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> theirs = MLPClassifier((10,), solver="sgd", tol=0.01, random_state=0).fit(X, y)
        >>> ours = MLPSoftmaxClassifier.from_sklearn(theirs)
        >>> bool(abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 1e-12)
        True
        >>> ours.partial_fit(X, y).n_iter_ == theirs.n_iter_ + 1
        True
        """
        from skbackprop._interop.sklearn import check_model, from_sklearn, our_parameters

        check_model(model, is_classifier(cls()), cls.__name__)
        ours = cls(**our_parameters(model))
        spec = fit_spec(ours)
        result = from_sklearn(model, spec, check_random_state(ours.random_state))
        attributes = ours._attributes(result)
        result.state.forget_run()
        if not spec.is_minibatch:  # L-BFGS leaves no curve there
            attributes |= {"n_iter_": int(model.n_iter_), "loss_": float(model.loss_)}
        return ours._publish(attributes)

    def to_torch(self) -> torch.nn.Module:
        """Convert to a PyTorch module that computes the same function.

        Its parameters have the dtype of `coefs_`, on the CPU. A float32 module returns float32, so targets with more
        than seven digits need a model with ``dtype="float64"``. The module has no dropout. Its weights include the
        input scale, the members' factors and the target scales, so it can be trained further in the units of y.

        Returns
        -------
        module : torch.nn.Module
            Module to call with the tensors of `torch_inputs`. For a classifier it returns logits
            (n_samples, n_classes); softmax, or the logistic function for multilabel targets, turns them into the
            probabilities of `predict_proba`. For a regressor it returns the predictions, in the shape and units of
            `predict`; with loss='gaussian' means followed by standard deviations, (n_samples, 2 * n_targets). It is a
            torch.nn.Sequential, or, if the estimator encodes columns, a module of two parts:
            ``module.columns(numbers, categories)`` is the contribution of each column of X to the first layer,
            (n_samples, n_features, n_units), and ``module.network`` computes the output from it.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If torch has no module for an activation.

        Examples
        --------
        Compute the same probabilities, and export the module::

            module = classifier.to_torch()
            inputs = classifier.torch_inputs(X)
            p = torch.softmax(module(*inputs), dim=1)
            program = torch.export.export(module, inputs)
        """
        with needing_torch("to_torch"):
            from skbackprop._interop.torch import to_torch
        return to_torch(self.__fitted_model__(on_host=True))

    @of_one_model
    @spelled
    def torch_inputs(self, X: Data) -> tuple[torch.Tensor, ...]:
        """Convert rows to the input tensors of the module that `to_torch` returns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as `predict` takes them.

        Returns
        -------
        inputs : tuple of torch.Tensor
            One tensor (n_samples, n_features), in the dtype of `coefs_`. If the estimator encodes columns, two tensors:
            the numeric columns, in float64, with NaN for missing values; and the categorical columns, as int64 indices
            into `categories_`, followed by one index for missing and one for unknown values.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If X is not what `predict` takes.

        Examples
        --------
        Columns "age" and "town", with the categories "Bonn" and "Ulm"::

            numbers, categories = model.torch_inputs(pd.DataFrame({"age": [31, None], "town": ["Ulm", "Rome"]}))
            # tensor([[31.], [nan]], dtype=torch.float64), tensor([[1], [3]])
        """
        model = self.__fitted_model__(on_host=True)
        return tensors(self, X, model, model.features.encoding)


def tensors(
    estimator: BaseEstimator, X: Data, model: FittedModel, encoding: InputEncoding | None
) -> tuple[torch.Tensor, ...]:
    """Rows for the torch module of a fitted estimator, with categories numbered as in this encoding."""
    with needing_torch("torch_inputs"):
        from skbackprop._interop.torch import as_tensor, codes
    if encoding is not None:
        return codes(encoding, read_table(estimator, X, encoding.is_category, reset=False)[0])
    device = compute_device(cast(Array, X))
    rows = to_host(dense(check_inputs(estimator, X, device, model.theta.dtype)))
    return (as_tensor(rows.toarray() if sp.issparse(rows) else rows, model),)


@contextmanager
def needing_torch(method: str) -> Iterator[None]:
    """Raise an error that says how to install torch, if it is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{method} needs torch: pip install 'skbackprop[torch]'.") from error
