"""
Early stopping with grouped data
================================

With several rows from each patient, a network overfits to the patients. A random tenth of the rows, from the same
patients, does not show this. To predict for *new* patients, hold out whole patients and pass their rows to ``fit`` as
``X_val`` and ``y_val``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.display import LossCurveDisplay

# %%
# The patients are simulated, so that the truth is known. Four features determine the probability of a bad day, in the
# same way for all patients. Eight more features hardly change from day to day: they identify a patient, but say nothing
# about other patients.

rng = np.random.default_rng(0)


def visits(n_patients, n_days=15):
    """Rows of new patients."""
    state = rng.normal(size=(n_patients, n_days, 4))
    who = rng.normal(size=(n_patients, 1, 8)) + 0.1 * rng.normal(size=(n_patients, n_days, 8))
    risk = 2 * abs(state[..., 0]) + 2 * state[..., 1] * state[..., 2] + 1.5 * state[..., 3] - 1.6
    risk += 1.5 * rng.normal(size=(n_patients, 1))  # some patients are ill more often than others
    bad = rng.random(risk.shape) < 1 / (1 + np.exp(-risk))
    return np.concatenate([state, who], axis=2).reshape(-1, 12), bad.ravel()


X, y = visits(120)
X_val, y_val = visits(40)
X_test, y_test = visits(400)
scaler = StandardScaler().fit(X)
X, X_val, X_test = map(scaler.transform, (X, X_val, X_test))

# %%
# The same network is trained three times, for at most 60 epochs: with early stopping on a random tenth of the rows,
# with early stopping on other patients, and without early stopping, where the other patients only give the validation
# curve. ``scoring`` may be any scorer of scikit-learn; the default is the loss.

plan = {"learning_rate": "cosine", "learning_rate_init": 0.001, "max_iter": 60, "weight_decay": 0.0}
network = MLPSoftmaxClassifier(**plan, scoring="roc_auc", early_stopping=True, n_iter_no_change=15, random_state=0)
models = {
    "random rows": clone(network).fit(X, y),
    "trained on": MLPSoftmaxClassifier(**plan, scoring="roc_auc", random_state=0),
    "other patients": clone(network),
}
for name in ("trained on", "other patients"):
    models[name].fit(X, y, X_val=X_val, y_val=y_val)
for name, model in models.items():
    p = model.predict_proba(X_test)[:, 1]
    print(
        f"{name:14}: best epoch {model.best_iter_:2} of {model.n_iter_}; on 400 new patients "
        f"log loss {log_loss(y_test, p):.2f}, ROC AUC {roc_auc_score(y_test, p):.3f}"
    )

# %%
# Circles are the best epochs. With early stopping, their weights were restored.

looks = [{"color": "#0072b2"}, {"color": "0.55"}, {"color": "#d55e00", "lw": 2.5}]
display = LossCurveDisplay.from_estimator(models, curve_kwargs=looks)
plt.show()

# %%
# On random rows the score still improves when it no longer improves for new patients, so training stops too late. On
# other patients it stops in time, and the weights of that epoch are better on 400 further patients. Without early
# stopping the network overfits to its own patients.
