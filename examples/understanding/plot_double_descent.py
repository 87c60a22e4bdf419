"""Double descent
==============

With more hidden units a network first fits better and then overfits. With still more units the test error falls a
second time (Belkin et al., 2019; Nakkiran et al., 2020). Here networks with 1 to 256 hidden units are trained on 400
images of digits, 30 % of them with random labels, until the wide networks fit every wrong label.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skbackprop import MLPSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
widths, n_rows, n_seeds = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 48, 96, 256), 400, 5

# %%
# There is no regularisation: no weight decay, no early stopping, and no penalty except in the runs with ``alpha=3``.
# Training rows, wrong labels and initial weights depend on the seed. The labels of the test rows are correct.


def errors(width, seed, alpha):
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=n_rows, stratify=y, random_state=seed)
    rng = np.random.default_rng(seed)
    y_train = np.where(rng.random(n_rows) < 0.3, rng.integers(0, 10, n_rows), y_train)
    network = MLPSoftmaxClassifier((width,), alpha=alpha, weight_decay=0.0, batch_size=n_rows, random_state=seed)
    network.set_params(learning_rate="onecycle", learning_rate_init=0.03, max_iter=500)
    network.fit(X_train, y_train)
    return [1 - network.score(X_train, y_train), 1 - network.score(X_test, y_test)]


runs = {
    alpha: np.array([[errors(width, seed, alpha) for seed in range(n_seeds)] for width in widths])
    for alpha in (0.0, 3.0)
}
for i, width in enumerate(widths):
    (training, test), (_, penalised) = runs[0.0][i].mean(axis=0), runs[3.0][i].mean(axis=0)
    print(f"{width:3d} units: training {training:.3f}, test {test:.3f}, with alpha=3 {penalised:.3f}")

fig, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
looks = {"test error": (1, 0.0, "#D55E00", "-"), "training error": (0, 0.0, "#0072B2", "-")}
looks["test error with alpha=3"] = (1, 3.0, "#009E73", "--")
for label, (kind, alpha, color, style) in looks.items():
    mean, spread = (runs[alpha][:, :, kind].mean(axis=1), runs[alpha][:, :, kind].std(axis=1) / np.sqrt(n_seeds))
    ax.plot(widths, mean, style, color=color, marker=".", label=label)
    ax.fill_between(widths, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)
ax.set_xscale("log", base=2)
ax.set(xticks=[1, 4, 16, 64, 256], xticklabels=["1", "4", "16", "64", "256"])
ax.set(xlabel="hidden units", ylabel="error rate")
ax.legend(frameon=False)
plt.show()

# %%
# The curves are means of five seeds, with bands of one standard error. Up to 5 units the test error falls with the
# training error. Then it rises until the network can just fit every wrong label (10 to 16 units): there are hardly any
# weights that do so, and their function is far from smooth. Wider networks can fit the labels in many ways, and
# training seems to find smoother functions among them: the widest network is better than the best small one. The dashed
# line shows that regularisation matters more: from 6 units on, a penalty on the weights removes more than half of the
# error.
