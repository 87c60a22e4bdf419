"""The Pipeline that `tabular_pipeline` makes; it stands alone, as the import of Pipelines takes longer than ours."""

from __future__ import annotations

import copy
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from sklearn import get_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.calls import check_pair
from skbackprop._fit.scales import in_validation_set
from skbackprop._types import Data


def _goes_on(pipeline: TabularPipeline) -> bool:
    """Tell whether the last step has a partial_fit; raise its own error if not."""
    return bool(pipeline.steps[-1][1].partial_fit)


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


class TabularPipeline(Pipeline):
    """A Pipeline whose last step gets what `fit` is given beside X and y, and which can be trained in pieces.

    Parameters
    ----------
    steps : list of (str, estimator)
        Names and steps.
    transform_input, memory, verbose :
        As in :class:`sklearn.pipeline.Pipeline`.
    """

    steps: list[tuple[str, Any]]

    def fit(self, X: Data, y: Data = None, **params: Any) -> Self:
        """Fit all steps.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        **params : dict
            What the last step's `fit` takes: ``X_val``, rows of the same columns as X, ``y_val`` and
            ``sample_weight_val``; ``sample_weight``; ``checkpoint``. ``mlp__sample_weight`` is the same as
            ``sample_weight``. With scikit-learn's metadata routing on, what is requested.

        Returns
        -------
        self : object
            The fitted Pipeline.
        """
        prefix = "" if get_config()["enable_metadata_routing"] else f"{self.steps[-1][0]}__"
        params = {name if "__" in name else prefix + name: value for name, value in params.items()}
        X_val = params.get(f"{prefix}X_val")
        if X_val is not None and not self.transform_input and self._reader is not None:
            check_pair(X_val, params.get(f"{prefix}y_val"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they come when the steps are fitted below
                reader = clone(self._reader).fit(X, y)
            with in_validation_set():
                params[f"{prefix}X_val"] = reader.transform(X_val)
        with self._kept():
            fitted: Self = super().fit(X, y, **params)
        return fitted

    @available_if(_goes_on)
    def partial_fit(self, X: Data, y: Data = None, **params: Any) -> Self:
        """Train the last step one epoch on X and y, going on from where the last call stopped.

        The first call, be it of `fit` or of `partial_fit`, decides what the columns are: give it rows that stand for
        all.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        **params : dict
            What the last step's `partial_fit` takes: ``classes``, ``categories``, ``X_val`` and so on.

        Returns
        -------
        self : object
            The Pipeline.
        """
        (name, model), reader = self.steps[-1], self._reader
        params = {key.removeprefix(f"{name}__"): value for key, value in params.items()}
        with self._kept():
            if reader is not None:
                X = reader.transform(X) if _is_fitted(model) else reader.fit_transform(X, y)
            if reader is not None and params.get("X_val") is not None:
                check_pair(params["X_val"], params.get("y_val"))
                with in_validation_set():
                    params["X_val"] = reader.transform(params["X_val"])
            model.partial_fit(X, y, **params)
        return self

    @property
    def _reader(self) -> Pipeline | None:
        """The steps before the last one, the same objects; None if there are none."""
        return Pipeline(self.steps[:-1]) if len(self.steps) > 1 else None

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Leave all steps as they were if a call fails."""
        before = [(name, copy.copy(step)) for name, step in self.steps[:-1]]  # the last step sees to itself
        try:
            yield
        except Exception:
            self.steps[:-1] = before
            raise

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Parameters that differ from their defaults, in lines that are filled."""
        words = super().__repr__(N_CHAR_MAX).split()
        return textwrap.fill(
            " ".join(words), 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
