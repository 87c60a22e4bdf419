"""Backpropagation by hand
=======================

This example writes a network in a few lines of NumPy, with the numbers of the equations of the derivation (D1 to D11).
Its loss, its gradient, and its weights after 60 epochs are the same as those of the package.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from sklearn.utils import shuffle

from skbackprop import MLPSoftmaxClassifier

X, y = shuffle(*load_iris(return_X_y=True), random_state=0)
X, Y = scale(X), np.eye(3)[y]

# %%
# There are four measurements of a flower, five hidden tanh units and three species. All parameters are in one vector
# theta; weights and biases are views of it.

H, theta = 2, 0.5 * np.random.default_rng(5).normal(size=43)
W = [None, theta[:20].reshape(4, 5), theta[20:35].reshape(5, 3)]
b = [None, theta[35:40], theta[40:]]


def forward(X):
    a, v = [X], [None]
    for h in range(1, H + 1):
        v.append(a[h - 1] @ W[h] + b[h])  # D1
        a.append(np.tanh(v[h]) if h < H else softmax(v[h], axis=1))  # D2, D3
    return a, v


def backward(a, Y):
    delta, grad_W, grad_b = [[None] * (H + 1) for _ in range(3)]
    delta[H] = a[H] - Y  # D10
    for h in range(H, 0, -1):
        grad_W[h] = a[h - 1].T @ delta[h] / len(Y)  # D4; the mean over the rows is D7
        grad_b[h] = delta[h].mean(axis=0)
        if h > 1:
            delta[h - 1] = (1 - a[h - 1] ** 2) * (delta[h] @ W[h].T)  # D5, D6
    return delta, grad_W, np.concatenate([g.ravel() for g in grad_W[1:] + grad_b[1:]])


def loss(X, Y):
    v = forward(X)[1][H]
    return -np.mean(np.sum(Y * (v - logsumexp(v, axis=1, keepdims=True)), axis=1))  # D9, D7


# %%
# Two checks: the Jacobian of softmax (D8) gives the same delta (D11), and numerical derivatives agree with the
# gradient.

a, delta = forward(X)[0], backward(forward(X)[0], Y)[0]
p = a[H][0]
long_way = (np.diag(p) - np.outer(p, p)) @ (-Y[0] / p)
print(f"D11 - D10: {np.abs(long_way - delta[H][0]).max():.0e}")
numerical = np.zeros(43)
for i in range(43):
    for sign in (1, -1):
        theta[i] += sign * 1e-5
        numerical[i] += sign * loss(X, Y) / 2e-5
        theta[i] -= sign * 1e-5
error = np.abs(numerical - backward(a, Y)[2]).max()
print(f"numerical derivatives - gradient: {error:.0e} at most")

# %%
# Now we train in batches of 30 rows. A first call of ``partial_fit`` creates the arrays of the estimator, which then
# get our initial weights. (Without momentum, SGD keeps nothing of that call.)

sgd = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.3, "batch_size": 30}
model = MLPSoftmaxClassifier((5,), "tanh", alpha=0.0, shuffle=False, **sgd).partial_fit(X, y)
model.coefs_, model.intercepts_ = [w.copy() for w in W[1:]], [c.copy() for c in b[1:]]
by_hand, apart = [], []
for _ in range(60):
    losses = []
    for rows in np.arange(150).reshape(5, 30):
        losses.append(loss(X[rows], Y[rows]))
        theta -= 0.3 * backward(forward(X[rows])[0], Y[rows])[2]
    by_hand.append(np.mean(losses))
    model.partial_fit(X, y)
    ours = np.concatenate([w.ravel() for w in model.coefs_ + model.intercepts_])
    apart.append(np.abs(ours - theta).max())

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(model.loss_curve_[1:], color="#56B4E9", lw=6, label="the package")
left.plot(by_hand, color="black", ls="--", label="by hand")
left.set(xlabel="epoch", title="loss")
left.legend(frameon=False)
right.semilogy(apart, ".", color="#D55E00")
right.set(xlabel="epoch", title="largest difference of a weight", ylim=(1e-17, 1))
plt.show()

# %%
# The two loss curves are equal, and the weights agree to about 15 digits, the precision of float64.
