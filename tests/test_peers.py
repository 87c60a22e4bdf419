"""The same weights and data give the same training as in scikit-learn and torch."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from peers import start_from, to_sklearn, to_torch, torch_trajectory, trajectory

from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._nn.activations import ACTIVATIONS

# Both sides do the same float64 arithmetic in another order: rounding grows over 20 epochs, but stays below
# this. A wrong constant or sign shows from the second epoch on.
SAME = {"rtol": 1e-8, "atol": 1e-10}
FIXED = {"max_iter": 20, "n_iter_no_change": np.inf, "shuffle": False, "alpha": 0.0, "batch_size": 64,
         "learning_rate": "constant", "learning_rate_init": 0.001, "weight_decay": 0.0, "tol": 1e-4}  # fmt: skip


def weights(rng, *sizes):
    shapes = list(pairwise(sizes))
    return [rng.normal(0, 0.3, s) for s in shapes], [rng.normal(0, 0.1, s[1]) for s in shapes]


def problem(task, digits, diabetes):
    X, y = digits if task == "classifier" else diabetes
    return (X[:300], y[:300]) if task == "classifier" else (X[:300], (y[:300] - 150.0) / 77.0)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
@pytest.mark.parametrize(
    "solver",
    [
        {"solver": "adam", "epsilon": 1e-16},
        {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.9, "nesterovs_momentum": True},
        {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.8, "nesterovs_momentum": False},
    ],
    ids=["adam", "nesterov", "momentum"],
)
@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_trajectory_equals_scikit_learns(task, solver, activation, digits, diabetes, rng):
    X, y = problem(task, digits, diabetes)
    params = {**FIXED, **solver, "n_iter_no_change": 1000, "activation": activation}
    if task == "classifier":
        ours = MLPSoftmaxClassifier((20, 12), **params)
    else:
        params["learning_rate_init"] = 0.003  # 0.05 diverges on this problem, in both packages
        ours = MLPRegressor((20, 12), **params, scale_target=False)
    start = weights(rng, X.shape[1], 20, 12, 10 if task == "classifier" else 1)
    theirs = to_sklearn(ours)
    curves = [trajectory(start_from(model, X, y, *start), X, y) for model in (ours, theirs)]
    assert len(curves[0]) == 20
    assert curves[0][-1] < 0.9 * curves[0][0]
    assert_allclose(curves[0], curves[1], **SAME)
    for W, V in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert_allclose(W, V, rtol=1e-6, atol=1e-8)  # single weights are worse conditioned than the loss


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam"},
        {"solver": "adam", "weight_decay": 0.1, "activation": "gelu"},
        *({"solver": "adam", "activation": name} for name in ACTIVATIONS),
        {"solver": "sgd", "learning_rate_init": 0.05},
        {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False},
        {"solver": "nadam"},
        {"solver": "rmsprop", "beta_2": 0.99},
    ],
    ids=lambda params: "-".join(str(v) for v in params.values()),
)
def test_classifier_trajectory_equals_torchs(params, digits, rng):
    pytest.importorskip("torch")
    X, y = digits[0][:300], digits[1][:300]
    ours = MLPSoftmaxClassifier((20, 12), **{**FIXED, **params})
    start_from(ours, X, y, *weights(rng, 64, 20, 12, 10))
    if ours.weight_decay:  # torch decays biases too: give its optimizer two groups
        module, loss, _ = to_torch(ours)
        import torch

        groups = [
            {"params": [p for p in module.parameters() if p.ndim == n], "weight_decay": decay}
            for n, decay in ((2, ours.weight_decay), (1, 0.0))
        ]
        peer = module, loss, torch.optim.AdamW(groups, ours.learning_rate_init)
    else:
        peer = to_torch(ours)
    theirs = torch_trajectory(*peer, X, y, 64, 20)
    assert_allclose(trajectory(ours, X, y), theirs, **SAME)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
@pytest.mark.parametrize("solver", [{"solver": "adam"}, {"solver": "sgd", "learning_rate_init": 0.003}])
def test_regressor_trajectory_equals_torchs(loss, solver, diabetes, rng):
    pytest.importorskip("torch")
    X, y = diabetes
    y = y / y.mean()
    ours = MLPRegressor((20, 12), loss=loss, activation="tanh", scale_target=False, **{**FIXED, **solver})
    start_from(ours, X, y, *weights(rng, X.shape[1], 20, 12, 1))
    theirs = torch_trajectory(*to_torch(ours), X, y[:, None], 64, 20)
    assert_allclose(trajectory(ours, X, y), theirs, **SAME)


def test_gradient_clipping_is_torchs(digits, rng):
    torch = pytest.importorskip("torch")
    X, y = digits[0][:64], digits[1][:64]
    params = {**FIXED, "max_iter": 1, "solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False}
    ours = MLPSoftmaxClassifier((20,), max_grad_norm=0.5, **params)
    start_from(ours, X, y, *weights(rng, 64, 20, 10))
    module, loss, optimizer = to_torch(ours.set_params(learning_rate_init=0.1))
    loss(module(torch.tensor(X)), torch.tensor(y)).backward()
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
    assert norm > 0.5
    optimizer.step()
    trajectory(ours, X, y)
    # torch divides by norm + 1e-6
    assert_allclose(ours.coefs_[0], module[0].weight.detach().numpy().T, rtol=1e-5, atol=1e-7)
