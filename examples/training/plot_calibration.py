"""
Calibrated probabilities
========================

Of all rows that are predicted with a probability of 0.8, eight in ten should be right. After long training this is no
longer so: the network overfits and predicts even noisy labels with high probability. Reliability diagrams compare long
training, long training with smoothed labels, and the defaults.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier

# %%
# There are four classes, and a fifth of the labels is drawn at random, so the best possible accuracy is about 0.85.
# Many test rows make the diagrams smooth.

X, y = make_classification(22_000, 20, n_informative=8, n_classes=4, n_clusters_per_class=2, flip_y=0.2, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=2000, stratify=y, random_state=0)

long = {"epochs": 100, "weight_decay": 0.0}
models = {
    "trained long": MLPSoftmaxClassifier(**long, random_state=0),
    "long, label_smoothing=0.1": MLPSoftmaxClassifier(**long, label_smoothing=0.1, random_state=0),
    "defaults": MLPSoftmaxClassifier(random_state=0),
}

# %%
# The calibration error is the mean distance between the predicted probability and the accuracy, over bins of equal
# width.


def reliability(p, y, bins=10):
    """Mean predicted probability, accuracy and share of the rows of each bin."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    filled = [bin_of == b for b in range(bins) if np.any(bin_of == b)]
    return np.array([(sure[rows].mean(), right[rows].mean(), rows.mean()) for rows in filled]).T


fig, axes = plt.subplots(2, 3, figsize=(10, 4.6), sharex=True, sharey="row", height_ratios=[3, 1], layout="constrained")
for (name, model), ax, below in zip(models.items(), *axes, strict=True):
    p = make_pipeline(StandardScaler(), model).fit(X_train, y_train).predict_proba(X_test)
    sure, right, share = reliability(p, y_test)
    error, accuracy = share @ abs(sure - right), np.mean(p.argmax(axis=1) == y_test)
    print(f"{name:25}: accuracy {accuracy:.3f}, log loss {log_loss(y_test, p):.3f}, calibration error {error:.3f}")
    ax.plot([0.2, 1], [0.2, 1], "--", color="0.5")
    ax.plot(sure, right, "o-")
    ax.fill_between(sure, sure, right, alpha=0.2)
    ax.set(title=name)
    ax.text(0.97, 0.05, f"calibration error {error:.3f}", ha="right", transform=ax.transAxes)
    below.hist(p.max(axis=1), bins=16, range=(0.2, 1), weights=np.full(len(p), 1 / len(p)))
    below.set_xlabel("predicted probability")
axes[0, 0].set_ylabel("accuracy")
axes[1, 0].set_ylabel("share of rows")
plt.show()

# %%
# After long training most predicted probabilities are close to 1, but a third of these predictions are wrong. Smoothed
# labels make the probabilities smaller, but do not prevent overfitting. With the defaults the network trains for fewer
# epochs and selects its weight decay on held-out rows. Here this gives the best accuracy, log loss and calibration.
