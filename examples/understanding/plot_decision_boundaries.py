"""Decision boundaries while they form
===================================

Three problems that no straight line solves, and what one and the same network makes of them after 1, 10, 50 and 300
epochs. Each call of ``partial_fit`` is one epoch, so a loop can look in whenever it likes.
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
# The colours are the predicted probability, white where the network is undecided; the black line is the boundary.

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
# After one epoch the network still draws little more than a line, or hardly anything; then the boundary bends to
# where the classes are. How sure the network is grows faster than how right it is: after 300 epochs hardly any white
# is left, and between the moons, which overlap, the boundary runs around single points. Below each panel stands the
# share of the training points that are on their own side. That it comes to 1 for the moons is no good sign: that is
# what early stopping and weight decay are for.
