"""Ensembles of networks: their models with weights for other modules, and conversions to torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.calls import spelled
from skbackprop._fit.fitted_model import FittedModel
from skbackprop._fit.inputs import InputEncoding
from skbackprop._interop.conversions import needing_torch, tensors
from skbackprop._prediction import of_one_model
from skbackprop._types import Data

if TYPE_CHECKING:
    import torch


class ConvertibleEnsemble:
    """Conversions as methods of the ensembles; the attributes that they need are declared first."""

    estimators_: list[Any]
    weights_: np.ndarray

    @of_one_model
    def __weighted_models__(self) -> list[tuple[float, FittedModel]]:
        """The models of the networks with a positive weight, on the host, for other modules."""
        check_is_fitted(self)
        weighted = zip(self.weights_.tolist(), self.estimators_, strict=True)
        return [(weight, network.__fitted_model__(on_host=True)) for weight, network in weighted if weight > 0.0]

    def to_torch(self) -> torch.nn.Module:
        """Convert to a PyTorch module that computes the same function.

        Returns
        -------
        module : torch.nn.Module
            Module to call with the tensors of `torch_inputs`. For a classifier it returns the logarithms of
            `predict_proba`, which softmax turns into probabilities, or, for multilabel targets, the logits. For a
            regressor it returns the predictions, in the shape and units of `predict`. ``module.networks`` are the
            modules of the networks, as their `to_torch` makes them, but with a common numbering of the categories;
            ``module.weights`` are their weights in the average.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If torch has no module for an activation.

        Examples
        --------
        Compute the same probabilities::

            module = ensemble.to_torch()
            p = torch.softmax(module(*ensemble.torch_inputs(X)), dim=1)
        """
        with needing_torch("to_torch"):
            from skbackprop._interop.torch_ensembles import to_torch
        weights, models = zip(*self.__weighted_models__(), strict=True)
        return to_torch(models, weights, common_encoding(models))

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
            One tensor (n_samples, n_features), in the dtype of the networks' `coefs_`. If they encode columns, two
            tensors: the numeric columns, in float64, with NaN for missing values; and the categorical columns, as int64
            indices into the sorted categories of all networks, followed by one index for missing and one for unknown
            values.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If X is not what `predict` takes.
        """
        models = [model for _, model in self.__weighted_models__()]
        return tensors(self.estimators_[0], X, models[0], common_encoding(models))

    @property
    def to_sklearn(self) -> NoReturn:
        """Not available, since no single MLP of scikit-learn makes the same predictions."""
        raise AttributeError(
            f"No MLP of scikit-learn predicts the same as {type(self).__name__}. Convert its networks separately, such "
            "as model.estimators_[0].to_sklearn()."
        )


def common_encoding(models: Sequence[FittedModel]) -> InputEncoding | None:
    """The encoding of the first network, with the categories of all networks; None: nothing is encoded."""
    encodings = [model.features.encoding for model in models if model.features.encoding is not None]
    if not encodings:
        return None
    categories = zip(*(encoding.categories for encoding in encodings), strict=True)
    return replace(encodings[0], categories=[np.unique(np.concatenate(known)) for known in categories])
