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
    """The conversions, as methods of the estimators, whose attributes and methods they need are declared first."""

    random_state: int | np.random.RandomState | None
    _settings: FitPlan
    _progress: TrainState
    get_params: Callable[..., dict[str, object]]
    __fitted_model__: Callable[..., FittedModel]
    _attributes: Callable[[FitResult], dict[str, object]]
    _publish: Callable[[dict[str, object]], Self]

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Make a fitted MLP of scikit-learn that predicts the same.

        The input scale, target scales, and, for regression, members become part of its weights; two classes,
        two units here, one there. Parameters for later training that it has too are passed on, `alpha` as
        ``alpha * batch_size / n_samples``; where it has no counterpart (solver, schedule, loss) its default stands.

        Returns
        -------
        model : sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            For loss='gaussian' it predicts the mean alone; one target is always predicted as 1-D. Members become a
            network that is as many times as wide. Its arrays are NumPy's, wherever those of this model are.

        Raises
        ------
        ValueError
            If no MLP of scikit-learn predicts the same. It needs one activation for all hidden layers, among
            'identity', 'logistic', 'tanh' and 'relu'; at least two classes; a single quantile; one member, but for
            regression with an identity link; and inputs that are columns of numbers as they are (`numeric_encoder`,
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
        """Make a fitted estimator that predicts the same as a fitted MLP of scikit-learn.

        It can go on from there: `partial_fit`, or `fit` with ``warm_start=True``; the optimizer starts with an empty
        memory. Parameters are translated, so that training means the same: `alpha` becomes ``alpha * n_samples /
        batch_size`` for minibatch solvers, whose penalty scikit-learn divides by the batch's rows; the learning rate
        stays constant but for 'sgd'; targets are not scaled; early stopping watches accuracy or R^2, as there.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or sklearn.neural_network.MLPRegressor
            Fitted; it is left as it is.

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
        """Make a torch module that computes the same.

        Its parameters have the dtype of `coefs_`, and its device is the CPU; targets of more than seven digits need a
        model of ``dtype="float64"``, as a float32 module answers in float32. There is no dropout in it. Input scale,
        members' factors and target scales are part of its weights, so it can be trained on in the units of y.

        Returns
        -------
        module : torch.nn.Module
            It maps what `torch_inputs` makes of rows. For a classifier to logits (n_samples, n_classes), of which
            softmax makes `predict_proba`, or, for multilabel targets, the logistic function. For a regressor to what
            `predict` gives, in its shape and units; with loss='gaussian' to the means and, behind them, the standard
            deviations, (n_samples, 2 * n_targets). It is a torch.nn.Sequential, or, where the estimator encodes columns
            itself, a module of two parts: ``module.columns(numbers, categories)`` is what each column of X adds to the
            first layer's sums, (n_samples, n_features, n_units), and ``module.network`` makes the answer of it.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If torch has no module for an activation.

        Examples
        --------
        The same probabilities, and on to torch's own formats::

            module = classifier.to_torch()
            inputs = classifier.torch_inputs(X)
            p = torch.softmax(module(*inputs), dim=1)
            program = torch.export.export(module, inputs)
        """
        with needing_torch("to_torch"):
            from skbackprop._interop.torch import to_torch
        return to_torch(self.__fitted_model__(on_host=True))

    @of_one_model
    def torch_inputs(self, X: Data) -> tuple[torch.Tensor, ...]:
        """Make of rows the tensors that the module of `to_torch` takes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, as `predict` takes them.

        Returns
        -------
        inputs : tuple of torch.Tensor
            A tensor (n_samples, n_features), in the dtype of `coefs_`. Two where the estimator encodes columns itself:
            its columns of numbers, in float64, missing ones NaN; and its columns of categories, as numbers in int64:
            those of the texts in `categories_`, then one for missing and one for unknown values.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If X is not what `predict` takes.

        Examples
        --------
        A module that encodes "age" and "town", whose categories are "Bonn" and "Ulm"::

            numbers, categories = model.torch_inputs(pd.DataFrame({"age": [31, None], "town": ["Ulm", "Rome"]}))
            # tensor([[31.], [nan]], dtype=torch.float64), tensor([[1], [3]])
        """
        model = self.__fitted_model__(on_host=True)
        return tensors(self, X, model, model.features.encoding)


def tensors(
    estimator: BaseEstimator, X: Data, model: FittedModel, encoding: InputEncoding | None
) -> tuple[torch.Tensor, ...]:
    """Rows as the module of a fitted estimator's model takes them, categories with the numbers of this encoding."""
    with needing_torch("torch_inputs"):
        from skbackprop._interop.torch import as_tensor, codes
    if encoding is not None:
        return codes(encoding, read_table(estimator, X, encoding.is_category, reset=False)[0])
    device = compute_device(cast(Array, X))
    rows = to_host(dense(check_inputs(estimator, X, device, model.theta.dtype)))
    return (as_tensor(rows.toarray() if sp.issparse(rows) else rows, model),)


@contextmanager
def needing_torch(method: str) -> Iterator[None]:
    """Say how to install torch, if it is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{method} needs torch: pip install 'skbackprop[torch]'.") from error
