"""MLPRegressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils import Tags

from skbackprop._checks.arrays import check_finite_output
from skbackprop._checks.calls import spelled
from skbackprop._checks.constraints import REGRESSOR_CONSTRAINTS, SHARED_CONSTRAINTS
from skbackprop._documentation import document
from skbackprop._estimator import BaseMLP, with_minibatches
from skbackprop._fit.device import Device, device_of
from skbackprop._fit.targets import NumberCodec
from skbackprop._nn import names
from skbackprop._nn.losses import LOSSES
from skbackprop._prediction import of_one_model
from skbackprop._scores import ScoredRegressor
from skbackprop._types import Array, Attributes, Auto, Data


@document
class MLPRegressor(ScoredRegressor, BaseMLP):
    """Multi-layer perceptron for regression, with one or several targets and a choice of losses.

    Training minimises

        J(W, b) = (sum_i w_i loss_i + alpha/2 sum_h ||W[h]||^2) / sum_i w_i

    over the whole training set, for every batch size. The estimator scales the targets itself (`scale_target`), so that
    learning rates and penalties do not depend on their units. Predictions are in the units of y. Each of several
    targets is scaled separately, and all count equally.

    Parameters
    ----------
    {before_loss}
    loss : {'squared_error', 'absolute_error', 'huber', 'quantile', 'poisson', 'gamma', 'gaussian'}, \
default='squared_error'
        Loss of one row, summed over the targets. 'huber' is squared for errors up to `huber_delta` and absolute beyond
        [1]_. 'quantile' is the pinball loss for `quantile` [2]_. 'poisson' (for y >= 0) and 'gamma' (for y > 0) are
        half the deviance, with a log link. 'gaussian' is the negative log likelihood: the network also learns a
        standard deviation for each row [3]_, at least 1 % of that of the scaled target; see `predict`.
    huber_delta : float, default=1.35
        Error at which ``loss='huber'`` changes from squared to absolute, in units of the scaled target.
    quantile : float or list of floats, default=0.5
        Quantile or quantiles for ``loss='quantile'``, each in (0, 1), in ascending order.
    {shared}
    scale_target : bool, default=True
        Whether to train on (y - mean) / std, weighted and per target. For 'poisson' and 'gamma' it is y / mean.

    Attributes
    ----------
    target_shift_, target_scale_ : ndarray of shape (n_targets,)
        Scaling of the targets: y = ``target_shift_ + target_scale_ * (scaled target)``. `coefs_` and the losses refer
        to the scaled target.
    {attributes}

    See Also
    --------
    MLPSoftmaxClassifier : Multi-layer perceptron for classification.
    sklearn.neural_network.MLPRegressor : scikit-learn's regressor.

    References
    ----------
    .. [1] Huber, "Robust estimation of a location parameter", 1964.
    .. [2] Koenker and Bassett, "Regression quantiles", 1978.
    .. [3] Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skbackprop import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPRegressor(random_state=0))
    >>> model.fit(X, y).score(X, y) > 0.4
    True
    >>> model[-1].auto_params_["weight_decay"]  # patients differ in much that was not measured
    2.0
    """

    target_shift_: Array
    target_scale_: Array
    _y_is_1d: bool
    _quantile_is_scalar: bool
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {**SHARED_CONSTRAINTS, **REGRESSOR_CONSTRAINTS}

    @spelled
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: names.Activation | Sequence[names.Activation] = "relu",
        *,
        loss: names.RegressorLoss = "squared_error",
        huber_delta: float = 1.35,
        quantile: float | Sequence[float] = 0.5,
        solver: names.Solver = "adam",
        learning_rate: names.LearningRate = "auto",
        learning_rate_init: float | Auto = "auto",
        power_t: float = 0.5,
        batch_size: int | Auto = "auto",
        epochs: int | Auto = "auto",
        max_iter: int = 200,
        max_fun: int = 15000,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        alpha: float = 0.0001,
        weight_decay: float | Auto = "auto",
        dropout: float | Sequence[float] | Auto = 0.0,
        max_grad_norm: float | Auto | None = "auto",
        initializer: names.Initializer = "auto",
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        tol: float | Auto = "auto",
        scoring: str | Callable[..., float] | None = None,
        warm_start: bool = False,
        verbose: bool | int = False,
        dtype: Literal["auto", "float32", "float64"] = "auto",
        engine: Literal["auto", "compiled", "reference"] = "auto",
        n_threads: int | None = None,
        matmul_precision: Literal["highest", "medium"] = "highest",
        n_members: int = 1,
        input_scale: bool | float = False,
        numeric_encoder: names.Encoder = "identity",
        n_bins: int = 8,
        categorical_features: Sequence[str] | Sequence[int] | str | None = "from_dtype",
        scale_target: bool = True,
    ) -> None:
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    @with_minibatches
    @document
    def partial_fit(
        self,
        X: Data,
        y: Data,
        sample_weight: Data = None,
        *,
        X_val: Data = None,
        y_val: Data = None,
        sample_weight_val: Data = None,
        total_samples: int | None = None,
        categories: Data = None,
    ) -> Self:
        """Train for one epoch on X and y, continuing from the previous call.

        The first call determines the scale of the target. Give it representative rows.

        Parameters
        ----------
        {stream_X}
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        {stream_weights}
        {stream}
        """
        held_out = X_val, y_val, sample_weight_val
        return self._partial_fit((X, y, sample_weight), held_out, total_samples, categories)

    @of_one_model
    def predict(self, X: Data, return_std: bool = False, return_members: bool = False) -> Any:
        """Predict the target of each row, in the units of y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        return_std : bool, default=False
            Whether to also return the standard deviation of each prediction, for ``loss='gaussian'``. With several
            members it is that of the mixture of their distributions.
        return_members : bool, default=False
            Whether to also return the predictions of each member. Their spread shows how uncertain the mean is.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, 1-D if y was. Several quantiles are in an additional last axis; they never cross. The dtype is
            float64 for every X, as large targets need the digits (float32 on devices without float64).
        std : ndarray of the shape of y
            Standard deviations. Only with ``return_std=True``.
        members : ndarray of shape (n_members, ...)
            Predictions of each member, each of the shape of y. Only with ``return_members=True``.

        Raises
        ------
        ValueError
            If ``return_std=True`` and the loss is not 'gaussian'.
        """
        output = self._output(X, link=True)
        loss = self._network.loss
        if return_std and loss != "gaussian":
            raise ValueError(f"return_std=True needs loss='gaussian'; this model has loss={loss!r}.")
        codec, device = self._codec(), device_of(output)
        with np.errstate(over="ignore"):  # looked for in the answers
            y, std = codec.decode(output, device)
            answers = [codec.in_shape(y)] + ([codec.in_shape(std)] if return_std else [])
            if return_members:
                members = self._output(X, link=True, members=True)
                each = [codec.decode(members[j, :, :], device)[0] for j in range(members.shape[0])]
                answers.append(device.xp.stack([codec.in_shape(y) for y in each]))
        answers = [check_finite_output(answer, device) for answer in answers]
        return answers[0] if len(answers) == 1 else tuple(answers)

    def _codec(self) -> NumberCodec:
        shift, scale, network = self.target_shift_, self.target_scale_, self._network
        shapes = [getattr(part, "shape", None) for part in (shift, scale)]
        if shapes != [(network.n_targets,)] * 2:
            raise ValueError(
                f"target_shift_ and target_scale_ must be arrays of shape {(network.n_targets,)}, a number for each "
                f"target; got {shift!r} and {scale!r}"
            )
        is_1d, is_scalar = self._y_is_1d, self._quantile_is_scalar
        return NumberCodec(network.loss, network.n_targets, shift, scale, is_1d, is_scalar)

    def _codec_attributes(self, codec: NumberCodec, device: Device) -> Attributes:
        return {
            "_y_is_1d": codec.y_is_1d,
            "_quantile_is_scalar": codec.quantile_is_scalar,
            "target_shift_": device.put(codec.shift),
            "target_scale_": device.put(codec.scale),
        }

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        loss = LOSSES.get(self.loss)  # None: a name that fit will refuse
        tags.target_tags.positive_only = loss is not None and loss.lower is not None
        return tags
