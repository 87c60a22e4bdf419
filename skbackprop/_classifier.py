"""MLPSoftmaxClassifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils import Tags

from skbackprop._checks.arrays import check_finite_output
from skbackprop._checks.calls import spelled
from skbackprop._checks.constraints import CLASSIFIER_CONSTRAINTS, SHARED_CONSTRAINTS
from skbackprop._documentation import document
from skbackprop._estimator import BaseMLP, with_minibatches
from skbackprop._fit.device import Device, device_of
from skbackprop._fit.targets import LabelCodec
from skbackprop._nn import names
from skbackprop._nn.activations import softplus
from skbackprop._nn.links import log_softmax
from skbackprop._prediction import of_one_model
from skbackprop._scores import ScoredClassifier
from skbackprop._types import Array, Attributes, Auto, Data


@document
class MLPSoftmaxClassifier(ScoredClassifier, BaseMLP):
    """Multi-layer perceptron for classification, with a softmax output and the cross-entropy loss.

    The output layer has one softmax unit per class, also for two classes. For multilabel targets (an indicator matrix
    of 0 and 1) it has one logistic unit per label. Training minimises

        J(W, b) = (sum_i w_i loss_i + alpha/2 sum_h ||W[h]||^2) / sum_i w_i

    over the whole training set, for every batch size.

    Parameters
    ----------
    {before_loss}
    loss : {'cross_entropy', 'brier', 'focal'}, default='cross_entropy'
        Loss of one row with the predicted probabilities a: 'cross_entropy' is -sum y ln a; 'brier' is sum (a - y)^2
        [1]_; 'focal' is -(1 - a_t)^gamma ln a_t for the true class t, which gives hard rows more weight [2]_.
    focal_gamma : float, default=2.0
        Exponent gamma for ``loss='focal'``, >= 0. With 0 the loss is cross-entropy.
    {shared}
    label_smoothing : float, default=0.0
        Fraction of each target, in [0, 1), that is moved to the uniform distribution [3]_. Training loss only.
    class_weight : dict, 'balanced', list or None, default=None
        Factors by which sample weights are multiplied, by class. 'balanced' gives each class the same total weight.
        Classes missing from a dict have factor 1; extra keys are ignored. For multilabel targets give a list of these,
        one per label; the weight of a row is multiplied by the factors of all its labels.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels. For multilabel targets, the column indices.
    {attributes}

    See Also
    --------
    MLPRegressor : Multi-layer perceptron for regression.
    sklearn.neural_network.MLPClassifier : scikit-learn's classifier.

    References
    ----------
    .. [1] Brier, "Verification of forecasts expressed in terms of probability", 1950.
    .. [2] Lin et al., "Focal loss for dense object detection", 2017.
    .. [3] Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skbackprop import MLPSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0))
    >>> model.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    """

    classes_: np.ndarray
    _labels: LabelCodec
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {**SHARED_CONSTRAINTS, **CLASSIFIER_CONSTRAINTS}
    __metadata_request__partial_fit: ClassVar = {"classes": True}

    @spelled
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100, 100),
        activation: names.Activation | Sequence[names.Activation] = "relu",
        *,
        loss: names.ClassifierLoss = "cross_entropy",
        focal_gamma: float = 2.0,
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
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | Literal["balanced"] | list[Any] | None = None,
    ) -> None:
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    @with_minibatches
    @document
    def partial_fit(
        self,
        X: Data,
        y: Data,
        sample_weight: Data = None,
        classes: Data = None,
        *,
        X_val: Data = None,
        y_val: Data = None,
        sample_weight_val: Data = None,
        total_samples: int | None = None,
        categories: Data = None,
    ) -> Self:
        """Train for one epoch on X and y, continuing from the previous call.

        Parameters
        ----------
        {stream_X}
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Target labels.
        {stream_weights}
        classes : array-like of shape (n_classes,), default=None
            All class labels of all calls. By default the labels of the first call.
        {stream}
        """
        held_out = X_val, y_val, sample_weight_val
        return self._partial_fit((X, y, sample_weight), held_out, total_samples, categories, classes)

    @of_one_model
    def predict(self, X: Data, return_members: bool = False) -> Any:
        """Predict the label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        return_members : bool, default=False
            Whether to also return the predictions of each ensemble member.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class. For multilabel targets, all labels with a probability above 1/2.
        members : ndarray of shape (n_members, n_samples) or (n_members, n_samples, n_labels)
            Predictions of each member. Only with ``return_members=True``.
        """
        y = self._output(X, link=False, answer=lambda v: self._labels.decode(v, device_of(v)))
        if not return_members:
            return y
        return y, self._output(X, link=False, members=True, answer=self._labels.decode_members)

    @of_one_model
    def predict_proba(self, X: Data, return_members: bool = False) -> Any:
        """Predict the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        return_members : bool, default=False
            Whether to also return the probabilities of each member. Their spread shows how uncertain the mean is.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Probabilities. Rows sum to 1; for multilabel targets each column is the probability of its label. No entry
            is exactly 0 (nor, for multilabel targets, exactly 1). Probabilities that would underflow keep their order,
            so that rankings do not change.
        members : ndarray of shape (n_members, n_samples, n_classes)
            Probabilities of each member. Only with ``return_members=True``.
        """
        p = self._output(X, link=True, method="predict_proba")
        device = device_of(p)
        xp, limits = device.xp, np.finfo(device.dtype_of(p))
        tiny = float(limits.tiny)
        if self._labels.multilabel:
            p = xp.clip(p, None, 1.0 - float(limits.epsneg))
        if device.has_any(p < tiny):
            below = xp.clip(math.log(tiny) - self.predict_log_proba(X), 0.0, None)
            p = xp.where(p < tiny, tiny / (1.0 + below), p)
        return (p, self._output(X, link=True, members=True)) if return_members else p

    @of_one_model
    def predict_log_proba(self, X: Data) -> Array:
        """Predict the logarithms of the class probabilities. They are computed from the logits, so they are finite.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            Natural logarithms.
        """
        v = self._output(X, link=False, method="predict_log_proba")
        device = device_of(v)
        with np.errstate(over="ignore"):  # looked for in the answer
            log_p = -softplus(device.xp, -v) if self._labels.multilabel else log_softmax(device.xp, v)
        return check_finite_output(log_p, device)

    @of_one_model
    def decision_function(self, X: Data) -> Array:
        """Compute the logits, the weighted sums of the output layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        v : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logits. For two classes it is v_1 - v_0, which is positive where the second class is more probable.
        """
        v = self._output(X, link=False, method="decision_function")
        if self._labels.multilabel or v.shape[1] != 2:
            return v
        with np.errstate(over="ignore"):
            return check_finite_output(v[:, 1] - v[:, 0], device_of(v))

    def _codec(self) -> LabelCodec:
        return self._labels

    def _codec_attributes(self, codec: LabelCodec, device: Device) -> Attributes:
        return {"_labels": codec, "classes_": device.put(codec.classes)}

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
