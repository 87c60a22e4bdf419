"""The Pipeline that `tabular_pipeline` makes; it stands alone, as the import of Pipelines takes longer than ours."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import sklearn
from sklearn import get_config
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, process_routing
from sklearn.utils.validation import check_is_fitted

from skbackprop._checks.callbacks import MetaCallbacks
from skbackprop._checks.calls import check_names, check_pair, composed, offered_if
from skbackprop._fit.scales import in_validation_set
from skbackprop._types import Data

LITERALS = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\s+""")  # texts in a repr, and what is between words


def _check_goes_on(pipeline: TabularPipeline) -> None:
    """Raise the last step's error if it has no partial_fit."""
    pipeline.steps[-1][1].partial_fit  # noqa: B018


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def _renamed(params: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Parameters by other names; raise if two get the same."""
    names: dict[str, str] = {}
    for name in params:
        if (other := names.setdefault(rename(name), name)) != name:
            raise TypeError(f"{other} and {name} are the same argument. Give one of them.")
    return {rename(name): value for name, value in params.items()}


def _with_weights(params: dict[str, Any], sample_weight: Data) -> dict[str, Any]:
    return params if sample_weight is None else {"sample_weight": sample_weight, **params}


def _has_learned(step: Any, before: dict[str, Any]) -> bool:
    now = vars(step)
    return now.keys() != before.keys() or any(now[name] is not value for name, value in before.items())


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
    __metadata_request__fit = {"sample_weight": UNUSED}  # noqa: RUF012 # the steps request it, as in every Pipeline
    __metadata_request__partial_fit = {"sample_weight": UNUSED}  # noqa: RUF012

    def fit(self, X: Data, y: Data = None, *, sample_weight: Data = None, **params: Any) -> Self:
        """Fit all steps.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights for the last step. ``mlp__sample_weight`` is the same.
        **params : dict
            What else the last step's `fit` takes: ``X_val``, rows of the same columns as X, ``y_val`` and
            ``sample_weight_val``; ``checkpoint``. With scikit-learn's metadata routing on, what is requested, and
            `sample_weight` only if it is.

        Returns
        -------
        self : object
            The fitted Pipeline.
        """
        params = _with_weights(params, sample_weight)
        self._check_names("fit", params)
        if not hasattr(Pipeline, "_get_metadata_for_step") and any(name.endswith("X_val") for name in params):
            raise RuntimeError(
                f"X_val cannot be given to a Pipeline of scikit-learn {sklearn.__version__}, which this version of "
                "skbackprop does not know. Install a newer skbackprop or an older scikit-learn."
            )
        prefix = "" if get_config()["enable_metadata_routing"] else f"{self.steps[-1][0]}__"
        params = _renamed(params, lambda name: name if "__" in name else prefix + name)
        with self._kept():
            fitted: Self = super().fit(X, y, **params)
        return fitted

    def _get_metadata_for_step(self, *, step_idx: int, step_params: Any, all_params: Any) -> Any:
        """Give a step its part of the parameters: scikit-learn's Pipeline asks here once the steps in front are fitted.

        What `transform_input` would do with metadata routing on, the last step's X_val needs always.
        """
        found = super()._get_metadata_for_step(step_idx=step_idx, step_params=step_params, all_params=all_params)
        if "X_val" in (self.transform_input or ()) or step_idx < len(self.steps) - 1 or "fit" not in found:
            return found
        return dict(found) | {"fit": self._read_validation(found["fit"])}

    @partial(offered_if, _check_goes_on)
    @composed
    def partial_fit(self, X: Data, y: Data = None, *, sample_weight: Data = None, **params: Any) -> Self:
        """Train the last step one epoch on X and y, going on from where the last call stopped.

        The first call, be it of `fit` or of `partial_fit`, decides what the columns are: give it rows that stand for
        all.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights for the last step.
        **params : dict
            What else the last step's `partial_fit` takes: ``classes``, ``categories``, ``X_val`` and so on. With
            scikit-learn's metadata routing on, what is requested, and `sample_weight` only if it is.

        Returns
        -------
        self : object
            The Pipeline.
        """
        params = _with_weights(params, sample_weight)
        self._check_names("partial_fit", params)
        (name, model), reader = self.steps[-1], self._reader
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, "partial_fit", **params)[name].partial_fit
        params = _renamed(params, lambda key: key.removeprefix(f"{name}__"))
        callbacks = MetaCallbacks(self, X, y, task="partial_fit")
        with self._kept():
            if reader is not None and _is_fitted(reader) and _is_fitted(model):
                X = reader.transform(X)
            elif reader is not None:
                with callbacks.training(reader, "fit-transform"):
                    X = reader.fit_transform(X, y)
            params = self._read_validation(params)
            with callbacks.training(model, "partial_fit-final-estimator"):
                model.partial_fit(X, y, **params)
        callbacks.end()
        return self

    @partial(offered_if, lambda pipeline: pipeline.steps[-1][1].predict)
    def predict(self, X: Data, **params: Any) -> Any:
        """Predict with the last step.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows.
        **params : dict
            What the last step's `predict` takes, such as ``return_std`` or, with ``oob_score=True``, ``interval``. With
            scikit-learn's metadata routing on, what is requested.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, and what else was asked for.
        """
        if params:
            self._check_names("predict", params)
        return super().predict(X, **params)

    @partial(offered_if, lambda pipeline: pipeline.steps[-1][1].score)
    def score(self, X: Data, y: Data = None, sample_weight: Data = None, **params: Any) -> float:
        """Return the score of the last step.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        **params : dict
            With scikit-learn's metadata routing on, what is requested.

        Returns
        -------
        score : float
            Accuracy or R^2, as the last step's `score` returns it.
        """
        self._check_names("score", params)
        return float(super().score(X, y, sample_weight, **params))

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the Pipeline, or of its steps by names such as ``mlp__n_bins``.

        Parameters
        ----------
        **params : dict
            Parameters.

        Returns
        -------
        self : object
            The Pipeline.
        """
        plain = [name for name in params if "__" not in name]
        known = self.get_params() if plain else {}
        for name in plain:
            of_steps = [key for key in known if key.endswith(f"__{name}")]
            if name not in known and of_steps:
                raise ValueError(f"{name!r} is a parameter of a step of the Pipeline. Write {' or '.join(of_steps)}.")
        return super().set_params(**params)

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata routing of this object: that of a Pipeline, with that of `partial_fit`.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        router = super().get_metadata_routing()
        for name, (mapping, _) in router:
            if name == self.steps[-1][0]:
                mapping.add(caller="partial_fit", callee="partial_fit")
        return router

    @property
    def _reader(self) -> Pipeline | None:
        """The steps before the last one, the same objects; None if there are none."""
        return Pipeline(self.steps[:-1]) if len(self.steps) > 1 else None

    def _read_validation(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of the last step whose X_val has gone through the fitted steps in front."""
        X_val, reader = params.get("X_val"), self._reader
        if X_val is None:
            return dict(params)
        check_pair(X_val, params.get("y_val"))
        if reader is not None:
            with in_validation_set(steps=False):
                X_val = reader.transform(X_val)
        return {**params, "X_val": X_val}

    def _check_names(self, method: str, params: Mapping[str, Any]) -> None:
        """Raise for parameters of a method that no step takes; say what to write, before a step is fitted."""
        (last, model), routes = self.steps[-1], get_config()["enable_metadata_routing"]
        names = params.keys() - (self.get_metadata_routing().consumes(method, params.keys()) if routes else set())
        of_steps = {name: name.partition("__")[0] for name in names if "__" in name and not routes}
        wrong = set(of_steps.values()) - {step for step, _ in self.steps}
        if wrong:
            raise ValueError(f"The steps are {[step for step, _ in self.steps]}; there is no {sorted(wrong)[0]!r}.")
        if hasattr(type(model), method):
            own = {name.removeprefix(f"{last}__") for name in names if of_steps.get(name, last) == last}
            check_names(type(model), getattr(type(model), method), sorted(own))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Leave all steps as they were if a call fails, or is interrupted before the last step has learned anything."""
        steps = list(self.steps)
        before = [(step, dict(vars(step))) for _, step in steps if hasattr(step, "__dict__")]  # no "passthrough"
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) or not _has_learned(*before[-1]):
                self.steps[:] = steps
                for step, attributes in before:
                    step.__dict__ = attributes
            raise

    def __str__(self) -> str:
        """Parameters that differ from their defaults, in lines that are filled."""
        words = LITERALS.sub(lambda found: found[0].replace(" ", "\0") if found[0].strip() else " ", repr(self))
        lines = textwrap.fill(words, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        return lines.replace("\0", " ")
