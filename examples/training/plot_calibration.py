"""
Probabilities that mean what they say
=====================================

Of all rows that a network calls "80 per cent sure", 80 per cent should be right. Long training spoils this: the
network learns to be sure even of labels that are noise. Three ways side by side, in reliability diagrams: training
long, training long on smoothed labels, and the defaults.
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
# Four classes; a fifth of the labels is drawn at random, so nobody can be right much more often than 85 times in 100.
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
# The calibration error is the mean distance between how sure the network is and how often it is right, over bins of
# equal width.


def reliability(p, y, bins=10):
    """How sure, how often right, and what share of the rows, bin by bin."""
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
    ax.text(0.97, 0.05, f"off by {error:.3f}", ha="right", transform=ax.transAxes)
    below.hist(p.max(axis=1), bins=16, range=(0.2, 1), weights=np.full(len(p), 1 / len(p)))
    below.set_xlabel("how sure")
axes[0, 0].set_ylabel("how often right")
axes[1, 0].set_ylabel("share of rows")
plt.show()

# %%
# Trained long, the network is nearly sure of most rows and wrong about every third of these. Smoothed labels take away
# much of the bravado, though not what was learned by heart. The defaults train for a shorter time and choose their
# weight decay by a selection on held-out rows; they come out ahead in all three numbers here.
