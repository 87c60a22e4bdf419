"""Our parameters as scikit-learn's and torch's, so that all can start from the same weights.

What is left out of the comparison with scikit-learn, and why: two classes and multilabel targets (there one
logistic unit, or the loss averaged over labels, here softmax and the sum), several regression outputs (its
loss is averaged over outputs while its gradient is not), alpha > 0 (it divides the penalty by the rows of each
batch), weights (it normalises them in each batch), lbfgs (other stopping rules). Its Adam adds epsilon before
the bias correction, so both take one too small to matter.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skbackprop import MLPSoftmaxClassifier
from skbackprop._nn.activations import ACTIVATIONS

SHARED = (
    "hidden_layer_sizes",
    "activation",
    "solver",
    "alpha",
    "batch_size",
    "learning_rate_init",
    "max_iter",
    "shuffle",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "n_iter_no_change",
    "tol",
)


def to_sklearn(ours):
    """Scikit-learn's estimator with the same parameters."""
    theirs = MLPClassifier if isinstance(ours, MLPSoftmaxClassifier) else MLPRegressor
    return theirs(**{name: getattr(ours, name) for name in SHARED})


def to_torch(ours):
    """Module, loss function and optimizer of torch with the same parameters; float64."""
    import torch

    torch.set_num_threads(1)  # more would wait for each other between such small products
    layers = []
    for W, b in zip(ours.coefs_, ours.intercepts_, strict=True):
        linear = torch.nn.Linear(*W.shape, dtype=torch.float64)
        linear.weight.data = torch.tensor(W.T.copy())
        linear.bias.data = torch.tensor(b.copy())
        layers += [linear, ACTIVATIONS[ours.activation].torch(torch.nn)]
    module = torch.nn.Sequential(*layers[:-1])
    rate, betas = ours.learning_rate_init, (ours.beta_1, ours.beta_2)
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, rate, ours.momentum, nesterov=ours.nesterovs_momentum),
        "adam": lambda p: torch.optim.AdamW(p, rate, betas, ours.epsilon, ours.weight_decay),
        "nadam": lambda p: torch.optim.NAdam(p, rate, betas, ours.epsilon),
        "rmsprop": lambda p: torch.optim.RMSprop(p, rate, ours.beta_2, ours.epsilon),
    }
    if isinstance(ours, MLPSoftmaxClassifier):
        loss = torch.nn.CrossEntropyLoss()
    else:
        loss = {
            "squared_error": lambda v, y: 0.5 * ((v - y) ** 2).sum(dim=1).mean(),
            "huber": lambda v, y: torch.nn.functional.huber_loss(v, y, delta=ours.huber_delta),
            "poisson": lambda v, y: (y * (torch.log(y) - v) - y + torch.exp(v)).sum(dim=1).mean(),
        }[ours.loss]
    return module, loss, optimizers[ours.solver](module.parameters())


def start_from(estimator, X, y, coefs, intercepts):
    """Fit one epoch to set the estimator up, then give it the weights from which its next fit starts."""
    max_iter = estimator.max_iter
    estimator.set_params(warm_start=True, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    estimator.coefs_ = [W.copy() for W in coefs]
    estimator.intercepts_ = [b.copy() for b in intercepts]
    estimator.loss_curve_ = []
    return estimator.set_params(max_iter=max_iter)


def trajectory(estimator, X, y):
    """Loss of each epoch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(estimator.fit(X, y).loss_curve_)


def torch_trajectory(module, loss, optimizer, X, y, batch_size, max_iter):
    """Loss of each epoch of the plain training loop, rows in their order."""
    import torch

    X, y, curve = torch.tensor(X), torch.tensor(y), []
    for _ in range(max_iter):
        total = 0.0
        for start in range(0, len(X), batch_size):
            rows = slice(start, start + batch_size)
            optimizer.zero_grad()
            value = loss(module(X[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(X[rows])
        curve.append(total / len(X))
    return np.asarray(curve)
