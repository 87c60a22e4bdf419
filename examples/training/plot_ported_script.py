"""
A script ported from scikit-learn's MLP
=======================================

This example ports a typical script with a scaler, ``MLPClassifier``, early stopping and a grid over `alpha`. It shows
what to change, and the results. :doc:`/migrating` lists all differences.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# The old script
# --------------

before = make_pipeline(StandardScaler(), MLPClassifier((100,), early_stopping=True, random_state=0))
grid = {"mlpclassifier__alpha": [0.0001, 1.0]}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    old = GridSearchCV(before, grid, cv=3).fit(X_train, y_train)
print(f"before: {old.best_params_}, test accuracy {old.score(X_test, y_test):.3f}")
print(f"best validation accuracy {old.best_estimator_[-1].best_validation_score_:.3f}")

# %%
# What to change
# --------------
#
# 1. The import and the name, and so the name of the step: "mlpsoftmaxclassifier".
# 2. The grid. Here ``weight_decay`` regularises. There is also `alpha`, but the same value has less effect:
#    scikit-learn divides it by the number of rows of a batch, this package by the number of all rows.
# 3. Early stopping is not needed: by default ``fit`` chooses the number of epochs, and the final training uses all
#    rows.

after = make_pipeline(StandardScaler(), MLPSoftmaxClassifier((100,), random_state=0))
grid = {"mlpsoftmaxclassifier__weight_decay": [0.05, 0.5, 2.0]}
new = GridSearchCV(after, grid, cv=3).fit(X_train, y_train)
print(f"after: {new.best_params_}, test accuracy {new.score(X_test, y_test):.3f}")
print(f"epochs of the best network: {old.best_estimator_[-1].n_iter_} before, {new.best_estimator_[-1].n_iter_} after")

# %%
# With early stopping, set `scoring`. Its default is the negative loss, so scores are below zero. scikit-learn's
# ``best_validation_score_`` is the largest of ``validation_scores_``.

stopped = MLPSoftmaxClassifier((100,), early_stopping=True, scoring="accuracy", random_state=0)
stopped = make_pipeline(StandardScaler(), stopped).fit(X_train, y_train)
print(f"best validation accuracy {max(stopped[-1].validation_scores_):.3f}, in epoch {stopped[-1].best_iter_}")

# %%
# The same training as before
# ---------------------------
#
# To reproduce an old result, these parameters train as scikit-learn does. The penalty is converted.

network = old.best_estimator_[-1]
like_before = MLPSoftmaxClassifier(
    (100,), learning_rate="constant", learning_rate_init=0.001, batch_size=200, max_iter=400, weight_decay=0.0,
    alpha=network.alpha * len(X_train) / 200, initializer="glorot_uniform", random_state=0,
)  # fmt: skip
like_before = make_pipeline(StandardScaler(), like_before).fit(X_train, y_train)
print(f"trained as before: test accuracy {like_before.score(X_test, y_test):.3f}")

# %%
# A model that is already trained can be converted without training again.

taken_over = MLPSoftmaxClassifier.from_sklearn(network)
scaled = old.best_estimator_[:-1].transform(X_test)
difference = np.abs(taken_over.predict_proba(scaled) - network.predict_proba(scaled)).max()
print(f"taken over: largest difference of the probabilities {difference:.0e}")

# %%

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
curves = {"scikit-learn, early stopping": network, "the same training here": like_before[-1], "the default here": new}
for name, model in curves.items():
    curve = (model.best_estimator_[-1] if model is new else model).loss_curve_
    ax.plot(np.arange(1, len(curve) + 1), curve, label=f"{name}: {len(curve)} epochs")
ax.set(xlabel="epoch", ylabel="training loss", xscale="log", yscale="log")
ax.legend()
plt.show()

# %%
# With the default schedule the learning rate rises and falls within few epochs. A constant rate needs many more epochs.
