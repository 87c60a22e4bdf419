"""Conversion of fitted networks to scikit-learn's multi-layer perceptrons, and back."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import block_diag
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from skbackprop._fit.fit import FitResult
from skbackprop._fit.fitted_model import Features, FittedModel
from skbackprop._fit.spec import FitPlan, FitSpec
from skbackprop._fit.state import Best, History, TrainState
from skbackprop._fit.targets import LabelCodec, NumberCodec, TargetCodec
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import NO_LAYER, Parameters, flatten

# of scikit-learn's MLP
ACTIVATIONS = {"identity", "logistic", "tanh", "relu"}
SOLVERS = {"adam", "sgd", "lbfgs"}
SCHEDULES = {"constant", "invscaling", "adaptive"}
BATCH_SIZE = 200  # of its "auto"
SHARED = ["power_t", "max_iter", "max_fun", "shuffle", "random_state", "verbose", "warm_start", "momentum"]
SHARED += ["nesterovs_momentum", "early_stopping", "validation_fraction", "beta_1", "beta_2", "epsilon"]
SHARED += ["n_iter_no_change"]


def to_sklearn(
    model: FittedModel, params: dict[str, Any], plan: FitPlan, state: TrainState, learned: dict[str, object]
) -> MLPClassifier | MLPRegressor:
    """Make a fitted MLP of scikit-learn of a model on the host; see the estimators' method.

    params: of the estimator; plan and state: of its last training; learned: its fitted attributes.
    """
    _check_representable(model)
    nets = model.effective_layers()
    W, b = _joined(nets)
    network, codec = model.network, model.codec
    if isinstance(codec, LabelCodec):
        theirs, y = MLPClassifier(), np.tile(codec.classes, 2)
        if codec.multilabel:
            y = np.stack([np.zeros(len(W[-1].T)), np.ones(len(W[-1].T))])
        elif len(codec.classes) == 2:  # v_1 - v_0, whose logistic function is the softmax's second output
            W[-1], b[-1] = W[-1][:, 1:] - W[-1][:, :1], b[-1][1:] - b[-1][:1]
    else:
        if network.loss == "gaussian":
            n_targets = codec.n_targets
            W[-1], b[-1] = W[-1][:, :n_targets], b[-1][:n_targets]
        theirs = MLPRegressor(loss="poisson" if LOSSES[network.loss].link == "exp" else "squared_error")
        y = np.ones((2, len(b[-1])))
    theirs.set_params(hidden_layer_sizes=tuple(len(bias) for bias in b[:-1]))
    if network.activations:
        theirs.set_params(activation=network.activations[0])
    _set_up(theirs, sp.csr_matrix((len(y), network.sizes[0]), dtype=W[0].dtype), y)
    theirs.set_params(**_their_parameters(params, plan, state))
    theirs.coefs_, theirs.intercepts_ = W, b
    if model.features.names is not None:
        theirs.feature_names_in_ = model.features.names
    for name in ("n_iter_", "t_", "loss_", "loss_curve_"):
        setattr(theirs, name, copy.copy(learned[name]))
    theirs.best_loss_ = np.inf  # a warm start has its own best epoch
    if params["early_stopping"]:
        theirs.best_loss_, theirs.best_validation_score_, theirs.validation_scores_ = None, -np.inf, []
    return theirs


def _check_representable(model: FittedModel) -> None:
    """Raise an error with the reason if no MLP of scikit-learn makes the same predictions."""
    network, codec = model.network, model.codec
    names, link = sorted(set(network.activations)), LOSSES[network.loss].link
    why = ""
    if model.features.encoding is not None:
        why = (
            "it encodes the columns of a table itself (numeric_encoder, categorical_features), and scikit-learn's take "
            "numbers as they are. Export it by skbackprop.onnx.to_onnx or to_torch, or fit it behind encoders in a "
            "Pipeline"
        )
    elif len(names) > 1:
        why = f"its hidden layers have different activations, {names}"
    elif not ACTIVATIONS.issuperset(names):
        why = f"it has activation={names[0]!r}, and scikit-learn knows {sorted(ACTIVATIONS)}"
    elif isinstance(codec, LabelCodec) and len(codec.classes) < 2:
        why = "it knows a single class"
    elif isinstance(codec, NumberCodec) and network.loss == "quantile" and not codec.quantile_is_scalar:
        why = "it predicts a list of quantiles, sorted"
    elif network.n_members > 1 and link != "identity":
        why = f"its predictions are the means of n_members={network.n_members} networks behind a {link} link"
    if why:
        name = "MLPSoftmaxClassifier" if isinstance(codec, LabelCodec) else "MLPRegressor"
        raise ValueError(f"No MLP of scikit-learn predicts the same as this {name}: {why}.")


def _joined(nets: list[Parameters]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights and biases of one network, with the members side by side, that outputs the mean of the members."""
    n, last = len(nets), len(nets[0].W) - 1
    if n == 1:
        return [np.array(W) for W in nets[0].W[1:]], [np.array(b) for b in nets[0].b[1:]]
    Ws = [[net.W[h] for net in nets] for h in range(1, last + 1)]
    bs = [[net.b[h] for net in nets] for h in range(1, last + 1)]
    if last == 1:
        return [np.mean(Ws[0], axis=0)], [np.mean(bs[0], axis=0)]
    W = [np.hstack(Ws[0]), *(block_diag(*layer) for layer in Ws[1:-1]), np.vstack(Ws[-1]) / n]
    return W, [*(np.concatenate(layer) for layer in bs[:-1]), np.mean(bs[-1], axis=0)]


def _set_up(theirs: MLPClassifier | MLPRegressor, X: sp.csr_matrix, y: np.ndarray) -> None:
    """Fit one epoch to meaningless rows, so that any version of scikit-learn creates its private attributes."""
    theirs.set_params(random_state=0, batch_size=len(y))
    known = {"classes": unique_labels(y)} if is_classifier(theirs) else {}
    # not `fit`, whose ConvergenceWarning could only be silenced for all threads
    theirs.partial_fit(X, y.ravel() if y.shape[1:] == (1,) else y, **known)
    del theirs._optimizer  # with its memory of that epoch, which no parameter resets: partial_fit makes a new one


def _their_parameters(params: dict[str, Any], plan: FitPlan, state: TrainState) -> dict[str, object]:
    """Parameters for later training by scikit-learn."""
    solver, alpha = params["solver"], params["alpha"]
    theirs = {name: params[name] for name in SHARED} | {"alpha": alpha, "batch_size": "auto"}
    if solver == "lbfgs":
        return theirs | {"solver": "lbfgs", "tol": plan.tol}
    theirs["batch_size"] = plan.batch_size
    if state.weight_sum:
        theirs["alpha"] = alpha * plan.batch_size / state.totals()[1]
    if solver in SOLVERS and plan.learning_rate in SCHEDULES:
        theirs |= {"learning_rate": plan.learning_rate, "learning_rate_init": plan.learning_rate_init}
    return theirs | {"solver": solver if solver in SOLVERS else "adam"}


def check_model(model: MLPClassifier | MLPRegressor, is_ours_classifier: bool, name: str) -> None:
    """Raise unless it is a fitted MLP of scikit-learn of our estimator's kind."""
    theirs = MLPClassifier if is_ours_classifier else MLPRegressor
    if not isinstance(model, theirs):
        raise TypeError(f"{name}.from_sklearn takes a fitted sklearn.neural_network.{theirs.__name__}, got {model!r}.")
    check_is_fitted(model)


def from_sklearn(model: MLPClassifier | MLPRegressor, spec: FitSpec, rng: np.random.RandomState) -> FitResult:
    """Make the result of an equivalent fit of this package; see the estimators' method."""
    W, b = [np.array(w) for w in model.coefs_], [np.array(bias) for bias in model.intercepts_]
    codec: TargetCodec
    if is_classifier(model):
        codec = LabelCodec(model.classes_, model.out_activation_ == "logistic" and model.n_outputs_ > 1)
        if len(model.classes_) == 2 and not codec.multilabel:
            # v_1 - v_0 = v, with the smallest weights
            W[-1], b[-1] = np.hstack([-0.5 * W[-1], 0.5 * W[-1]]), np.concatenate([-0.5 * b[-1], 0.5 * b[-1]])
    else:
        n = model.n_outputs_
        codec = NumberCodec(spec.loss, n, np.zeros(n), np.ones(n), y_is_1d=n == 1)
    n_rows = rows_per_epoch(model)
    plan = FitPlan.settle(spec, n_rows or 1)
    n_features, seed = int(model.n_features_in_), int(rng.randint(2**31))
    network = plan.network(spec, codec.loss(spec.loss), n_features, codec.n_targets, seed)
    features = Features(n_features, getattr(model, "feature_names_in_", None))
    losses, scores = getattr(model, "loss_curve_", ()), getattr(model, "validation_scores_", None)
    history = History([float(loss) for loss in losses])
    state = TrainState(rng, history, n_rows=n_rows, weight_sum=float(n_rows), rows_visited=int(model.t_))
    if scores or len(losses):
        state.best = Best(epoch=1 + int(np.argmax(scores) if scores else np.argmin(losses)))
    theta = flatten(np, [NO_LAYER, *W], [NO_LAYER, *b])
    return FitResult(FittedModel(network, theta, codec, features), spec, plan, state)


def our_parameters(model: MLPClassifier | MLPRegressor) -> dict[str, Any]:
    """Parameters for later training by this package."""
    same = [*SHARED, "hidden_layer_sizes", "activation", "solver", "alpha", "tol"]
    params = {name: getattr(model, name) for name in same}
    if is_classifier(model):
        params["loss"], score = "cross_entropy", "accuracy"
    else:
        params["loss"], params["scale_target"], score = model.loss, False, "r2"
    if model.solver == "lbfgs":
        return params | {"early_stopping": False}  # which it ignores there
    n = rows_per_epoch(model)
    batch_size = BATCH_SIZE if model.batch_size == "auto" else model.batch_size
    batch_size = min(batch_size, n) if n else batch_size
    return params | {
        "learning_rate": model.learning_rate if model.solver == "sgd" else "constant",
        "learning_rate_init": model.learning_rate_init,
        "batch_size": batch_size,
        "max_grad_norm": None,
        "alpha": model.alpha * (n or batch_size) / batch_size,
        "scoring": score if model.early_stopping else None,
    }


def rows_per_epoch(model: MLPClassifier | MLPRegressor) -> int:
    """Number of training rows of scikit-learn's minibatch solvers; 0 if it is not known."""
    epochs = len(getattr(model, "loss_curve_", ()))
    return round(model.t_ / epochs) if epochs else 0
