"""Decision boundaries during training
===================================

The figure shows the decision boundary of a network after 1, 10, 50 and 300 epochs, for three problems that are not
linearly separable. Each call of ``partial_fit`` trains one epoch, so the network can be inspected between epochs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_circles, make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.preprocessing import scale

from skbackprop import MLPSoftmaxClassifier


def make_spirals(n, noise, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = 3 * np.pi * np.sqrt(rng.uniform(0.02, 1, n))
    X = np.column_stack([t * np.cos(t + np.pi * y), t * np.sin(t + np.pi * y)])
    return X + noise * rng.standard_normal((n, 2)), y


problems = {
    "moons": make_moons(300, noise=0.2, random_state=0),
    "circles": make_circles(300, noise=0.1, factor=0.5, random_state=0),
    "spirals": make_spirals(300, noise=0.3, seed=0),
}
epochs = (1, 10, 50, 300)

# %%
# Colours show the predicted probability, which is 0.5 where they are white. The black line is the decision boundary.

fig, axes = plt.subplots(3, len(epochs), figsize=(9, 7.4), layout="constrained")
for row, (name, (X, y)) in zip(axes, problems.items(), strict=True):
    X = scale(X)
    model = MLPSoftmaxClassifier((32, 32), learning_rate_init=0.005, random_state=0)
    for epoch in range(1, epochs[-1] + 1):
        model.partial_fit(X, y)
        if epoch not in epochs:
            continue
        ax = row[epochs.index(epoch)]
        look = {"response_method": "predict_proba", "class_of_interest": 1, "ax": ax, "eps": 0.5}
        shades = {"levels": np.linspace(0, 1, 21), "cmap": "RdBu_r", "alpha": 0.7}
        DecisionBoundaryDisplay.from_estimator(model, X, **look, **shades)
        line = {"plot_method": "contour", "levels": [0.5], "colors": "black"}
        DecisionBoundaryDisplay.from_estimator(model, X, **look, **line)
        ax.scatter(*X.T, c=y, s=13, cmap="RdBu_r", edgecolors="white", linewidths=0.5)
        ax.set(xticks=[], yticks=[], xlabel=f"accuracy {model.score(X, y):.2f}", ylabel="")
        if name == "moons":
            ax.set_title("1 epoch" if epoch == 1 else f"{epoch} epochs")
    row[0].set_ylabel(name, fontsize=12)
plt.show()

# %%
# After one epoch the boundary is close to a line; then it bends to separate the classes. The predicted probabilities
# grow faster than the accuracy: after 300 epochs almost all are close to 0 or 1. The moons overlap, and there the
# boundary runs around single points. The accuracy below each panel is that on the training points. For the moons an
# accuracy of 1 means overfitting, which early stopping and weight decay prevent.
