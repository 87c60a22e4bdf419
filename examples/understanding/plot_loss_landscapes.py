"""Six solvers on one loss landscape
=================================

This network has one tanh unit, an input weight w and an output weight u: it computes u tanh(w x). So the figure can
show its loss for all weights. The two minima are the same function, since tanh is odd. Between them, where both weights
are zero, is a saddle point. All solvers start from the same weights.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np

from skbackprop import MLPRegressor

x = np.linspace(-2, 2, 40)
X, y = x[:, None], 1.5 * np.tanh(1.5 * x)


def loss(w, u):
    return np.mean((u[..., None] * np.tanh(w[..., None] * x) - y) ** 2, axis=-1) / 2


# %%
# A first fit creates the arrays, which then get the initial weights. A call of ``partial_fit`` trains one epoch, which
# is one step here, as all rows fit into one batch. L-BFGS has no ``partial_fit``, so its path is recorded by a custom
# ``scoring``: early stopping calls it with the model after each iteration.
#
# The figure assumes that both biases are zero. The data are symmetric, so the gradients of the biases are zero except
# for rounding errors. Lion uses only the signs of gradients, even of rounding errors, so we set the biases back to
# zero.

first = MLPRegressor((1,), "tanh", scale_target=False, alpha=0.0, random_state=0).fit(X, y)
solvers = {
    "SGD": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.3},
    "SGD with momentum": {"solver": "sgd", "momentum": 0.8, "learning_rate_init": 0.05},
    "RMSprop": {"solver": "rmsprop", "beta_2": 0.9, "learning_rate_init": 0.1},
    "Adam": {"solver": "adam", "learning_rate_init": 0.1},
    "Lion": {"solver": "lion", "beta_2": 0.9, "learning_rate_init": 0.03},
    "L-BFGS": {"solver": "lbfgs"},
}


def walk(params, n_steps=120):
    model = copy.deepcopy(first).set_params(**params)
    model.coefs_ = [np.array([[-1.2]]), np.array([[1.6]])]
    model.intercepts_ = [np.zeros(1), np.zeros(1)]
    path = [np.ravel(model.coefs_)]

    def note(model, X, y):
        path.append(np.ravel(model.coefs_))
        return -loss(*path[-1])

    if params["solver"] == "lbfgs":
        model.set_params(warm_start=True, early_stopping=True, scoring=note).fit(X, y, X_val=X, y_val=y)
    else:
        for _ in range(n_steps):
            note(model.partial_fit(X, y), X, y)
            model.intercepts_ = [np.zeros(1), np.zeros(1)]
    return np.array(path)


w, u = np.meshgrid(np.linspace(-2.6, 2.6, 200), np.linspace(-2.6, 2.6, 200))
height = np.log10(loss(w, u) + 1e-3)
fig, axes = plt.subplots(2, 3, figsize=(9, 6.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, params) in zip(axes.flat, solvers.items(), strict=True):
    path = walk(params)
    there = int(np.argmax(loss(*path.T) < 1e-3))  # the first step with so small a loss
    ax.contourf(w, u, height, 24, cmap="cividis")
    ax.contour(w, u, height, 8, colors="white", linewidths=0.4, alpha=0.5)
    ax.plot(*path[: there + 1].T, ".-", color="white", lw=1.3, ms=4)
    ax.plot(*path[0], "o", color="#D55E00", ms=9, mec="white")
    ax.plot(*path[there], "*", color="#D55E00", ms=15, mec="white")
    ax.set_title(f"{name}: {there} steps")
    ax.set_aspect("equal")
    print(f"{name}: after {there} steps w = {path[there][0]:.2f}, u = {path[there][1]:.2f}")
fig.supxlabel("weight w before the unit")
fig.supylabel("weight u after the unit")
plt.show()

# %%
# Bright colours are a high loss (on a logarithmic scale), dark colours a low loss. Each path leads from the disc to the
# star, the first weights with a loss below 0.001. SGD, with and without momentum, and L-BFGS follow the gradient to the
# lower minimum. RMSprop, Adam and Lion divide the gradient by its size or use only its sign, so both weights change
# equally fast at first: the paths start diagonally, pass the saddle on the other side, and end in the upper minimum.
# The numbers of steps cannot be compared: learning rates were chosen by hand to make the paths visible, except for
# L-BFGS, which has none.
