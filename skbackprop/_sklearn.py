"""A fitted network as scikit-learn's multi-layer perceptron, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import block_diag
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from skbackprop._effective import effective_layers, on_host
from skbackprop._fit.settings import settle
from skbackprop._fit.stopping import Best, History, Monitor, Patience
from skbackprop._fit.targets import Labels
from skbackprop._fit.training import Outcome, Progress
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Parameters, flatten

# what scikit-learn's MLP knows
ACTIVATIONS = {"identity", "logistic", "tanh", "relu"}
SOLVERS = {"adam", "sgd", "lbfgs"}
SCHEDULES = {"constant", "invscaling", "adaptive"}
BATCH_SIZE = 200  # of its "auto"
SHARED = (
    "power_t",
    "max_iter",
    "max_fun",
    "shuffle",
    "random_state",
    "verbose",
    "warm_start",
    "momentum",
    "nesterovs_momentum",
    "early_stopping",
    "validation_fraction",
    "beta_1",
    "beta_2",
    "epsilon",
    "n_iter_no_change",
)


def to_sklearn(model: Any) -> Any:
    """Make a fitted MLP of scikit-learn; see the estimators' method."""
    model = on_host(model)
    nets = effective_layers(model)
    _check_representable(model)
    W, b = _joined(nets)
    network = model._network
    if is_classifier(model):
        theirs, y = MLPClassifier(), np.tile(model.classes_, 2)
        if model._labels.multilabel:
            y = np.stack([np.zeros(len(W[-1].T)), np.ones(len(W[-1].T))])
        elif len(model.classes_) == 2:  # v_1 - v_0, whose logistic function is the softmax's second output
            W[-1], b[-1] = W[-1][:, 1:] - W[-1][:, :1], b[-1][1:] - b[-1][:1]
    else:
        if network.loss == "gaussian":
            n_targets = len(model.target_shift_)
            W[-1], b[-1] = W[-1][:, :n_targets], b[-1][:n_targets]
        theirs = MLPRegressor(loss="poisson" if LOSSES[network.loss].link == "exp" else "squared_error")
        y = np.ones((2, len(b[-1])))
    theirs.set_params(hidden_layer_sizes=tuple(len(bias) for bias in b[:-1]))
    if network.activations:
        theirs.set_params(activation=network.activations[0])
    _set_up(theirs, sp.csr_matrix((len(y), network.sizes[0]), dtype=W[0].dtype), y)
    theirs.set_params(**_their_parameters(model))
    _take_over(theirs, model, W, b)
    return theirs


def _check_representable(model: Any) -> None:
    """Raise, saying why, if no MLP of scikit-learn predicts the same."""
    network = model._network
    names, link = sorted(set(network.activations)), LOSSES[network.loss].link
    why = ""
    if len(names) > 1:
        why = f"its hidden layers have different activations, {names}"
    elif not ACTIVATIONS.issuperset(names):
        why = f"it has activation={names[0]!r}, and scikit-learn knows {sorted(ACTIVATIONS)}"
    elif is_classifier(model) and len(model.classes_) < 2:
        why = "it knows a single class"
    elif network.loss == "quantile" and not model._quantile_is_scalar:
        why = "it predicts a list of quantiles, sorted"
    elif network.n_members > 1 and link != "identity":
        why = f"its predictions are the means of n_members={network.n_members} networks behind a {link} link"
    if why:
        raise ValueError(f"No MLP of scikit-learn predicts the same as this {type(model).__name__}: {why}.")


def _joined(nets: list[Parameters]) -> tuple[list[Any], list[Any]]:
    """Weights and biases of one network that gives the mean of the members' outputs: they stand side by side."""
    n, last = len(nets), len(nets[0].W) - 1
    if n == 1:
        return [np.array(W) for W in nets[0].W[1:]], [np.array(b) for b in nets[0].b[1:]]
    Ws = [[net.W[h] for net in nets] for h in range(1, last + 1)]
    bs = [[net.b[h] for net in nets] for h in range(1, last + 1)]
    if last == 1:
        return [np.mean(Ws[0], axis=0)], [np.mean(bs[0], axis=0)]
    W = [np.hstack(Ws[0]), *(block_diag(*layer) for layer in Ws[1:-1]), np.vstack(Ws[-1]) / n]
    return W, [*(np.concatenate(layer) for layer in bs[:-1]), np.mean(bs[-1], axis=0)]


def _set_up(theirs: Any, X: Any, y: Any) -> None:
    """Fit one epoch to rows that mean nothing: so scikit-learn makes its own inner state, whatever its version."""
    theirs.set_params(random_state=0, batch_size=len(y))
    known = {"classes": unique_labels(y)} if is_classifier(theirs) else {}
    # not `fit`, whose ConvergenceWarning could only be silenced for all threads
    theirs.partial_fit(X, y.ravel() if y.shape[1:] == (1,) else y, **known)
    vars(theirs).pop("_optimizer", None)  # its memory of that epoch: partial_fit makes a new one


def _their_parameters(model: Any) -> dict[str, Any]:
    """What governs later training, in scikit-learn's terms."""
    settings, progress = model._settings, model._progress
    params = {name: getattr(model, name) for name in SHARED}
    params |= {"alpha": model.alpha, "batch_size": "auto"}
    if model.solver == "lbfgs":
        return params | {"solver": "lbfgs", "tol": settings.tol}
    params["batch_size"] = settings.batch_size
    if progress.weight_sum:
        params["alpha"] = model.alpha * settings.batch_size / progress.weight_sum
    if model.solver in SOLVERS and settings.learning_rate in SCHEDULES:
        params |= {"learning_rate": settings.learning_rate, "learning_rate_init": settings.learning_rate_init}
    return params | {"solver": model.solver if model.solver in SOLVERS else "adam"}


def _take_over(theirs: Any, model: Any, W: list[Any], b: list[Any]) -> None:
    """Set what a fit would have set."""
    theirs.coefs_, theirs.intercepts_ = W, b
    theirs.n_iter_, theirs.t_ = model.n_iter_, model.t_
    theirs.loss_, theirs.loss_curve_ = model.loss_, list(model.loss_curve_)
    theirs.best_loss_ = np.inf  # a warm start judges its own epochs
    if model.early_stopping:
        theirs.best_loss_, theirs.best_validation_score_, theirs.validation_scores_ = None, -np.inf, []
    if hasattr(model, "feature_names_in_"):
        theirs.feature_names_in_ = model.feature_names_in_


def from_sklearn(cls: Any, model: Any) -> Any:
    """Make a fitted estimator of ours; see the estimators' method."""
    theirs = MLPClassifier if is_classifier(cls()) else MLPRegressor
    if not isinstance(model, theirs):
        raise TypeError(
            f"{cls.__name__}.from_sklearn takes a fitted sklearn.neural_network.{theirs.__name__}, got {model!r}."
        )
    check_is_fitted(model)
    ours = cls(**_our_parameters(model))
    W, b = [np.array(w) for w in model.coefs_], [np.array(bias) for bias in model.intercepts_]
    if is_classifier(ours):
        multilabel = model.out_activation_ == "logistic" and model.n_outputs_ > 1
        ours._labels = Labels(model.classes_, multilabel)
        ours.classes_ = model.classes_
        if len(model.classes_) == 2 and not multilabel:  # v_1 - v_0 = v; the least weights that do it
            W[-1], b[-1] = np.hstack([-0.5 * W[-1], 0.5 * W[-1]]), np.concatenate([-0.5 * b[-1], 0.5 * b[-1]])
    else:
        ours._y_is_1d, ours._quantile_is_scalar = model.n_outputs_ == 1, True
        ours.target_shift_, ours.target_scale_ = np.zeros(model.n_outputs_), np.ones(model.n_outputs_)
    ours.n_features_in_ = model.n_features_in_
    if hasattr(model, "feature_names_in_"):
        ours.feature_names_in_ = model.feature_names_in_
    _finish(ours, model, W, b)
    return ours


def _our_parameters(model: Any) -> dict[str, Any]:
    """What governs later training, in our terms."""
    params = {name: getattr(model, name) for name in SHARED}
    params |= {
        name: getattr(model, name) for name in ("hidden_layer_sizes", "activation", "solver", "alpha", "tol")
    }
    if is_classifier(model):
        params["loss"], score = "cross_entropy", "accuracy"
    else:
        params["loss"], params["scale_target"], score = model.loss, False, "r2"
    if model.solver == "lbfgs":
        return params | {"early_stopping": False}  # which it does not heed there
    n = _rows_per_epoch(model)
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


def _rows_per_epoch(model: Any) -> int:
    """Rows that scikit-learn's minibatch solvers were trained on; 0 if that is not known."""
    epochs = len(getattr(model, "loss_curve_", ()))
    return round(model.t_ / epochs) if epochs else 0


def _finish(ours: Any, model: Any, W: list[Any], b: list[Any]) -> None:
    """Set what a fit would have set."""
    rng, n = check_random_state(ours.random_state), _rows_per_epoch(model)
    ours._settings = settle(ours, n or 1)
    ours._network = ours._describe(ours.n_features_in_, seed=int(rng.randint(2**31)))
    history = History([float(loss) for loss in getattr(model, "loss_curve_", ())])
    progress = Progress(rng, history, n_rows=n, weight_sum=float(n), rows_visited=int(model.t_))
    monitor = Monitor(history, Patience(np.inf, 0.0), Best(epoch=_best_epoch(model)))
    theta = flatten(np, [None, *W], [None, *b])
    ours._finish(Outcome(theta), monitor, progress)
    progress.forget_run()
    del ours._interrupt
    if ours.solver == "lbfgs":  # which leaves no curve there
        ours.n_iter_, ours.loss_ = int(model.n_iter_), float(model.loss_)


def _best_epoch(model: Any) -> int:
    if getattr(model, "validation_scores_", None):
        return int(np.argmax(model.validation_scores_)) + 1
    losses = getattr(model, "loss_curve_", ())
    return int(np.argmin(losses)) + 1 if len(losses) else 0
