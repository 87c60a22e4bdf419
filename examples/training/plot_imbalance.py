"""
When one class is rare
======================

Three percent of the rows are of the class that matters. With ``class_weight`` the network finds more of them. But this
only moves the point on the same precision-recall curve, and the predicted probabilities become too high. Their odds are
too high by a known factor, which can be divided out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import log_loss, precision_recall_curve, precision_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier

# %%
# The transactions are simulated, so that the true probabilities are known.

rng = np.random.default_rng(0)


def transactions(n):
    X = rng.normal(size=(n, 6))
    odds = -6.6 + 2.0 * abs(X[:, 0]) + 1.5 * X[:, 1] * (X[:, 2] > 0) + X[:, 3]
    return X, np.where(rng.random(n) < 1 / (1 + np.exp(-odds)), "fraud", "fine")


(X_train, y_train), (X_test, y_test) = transactions(8000), transactions(40_000)
share = np.mean(y_train == "fraud")
print(f"{share:.1%} of the training rows are fraud")

# %%
# We compare no class weights, a factor of 5, and weights that give both classes the same total weight.

choices = {"None": None, "{'fraud': 5}": {"fraud": 5.0}, "'balanced'": "balanced"}
P = {}  # the probability of fraud
for name, class_weight in choices.items():
    network = MLPSoftmaxClassifier(class_weight=class_weight, random_state=0)
    P[name] = make_pipeline(StandardScaler(), network).fit(X_train, y_train).predict_proba(X_test)[:, 1]

# %%
# A class weight of k multiplies the odds of the rare class by k. Dividing the odds by k gives calibrated probabilities.

k = (1 - share) / share  # the ratio of the two weights under "balanced"
odds = P["'balanced'"] / (1 - P["'balanced'"]) / k
P["'balanced', odds taken back"] = odds / (1 + odds)

# %%

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
looks = dict(zip(P, [("C0", "o"), ("0.3", "s"), ("C1", "D"), ("C1", "v")], strict=True))
for name, p in P.items():
    color, marker = looks[name]
    found = p > 0.5
    true = y_test == "fraud"
    precision, recall = precision_score(true, found), recall_score(true, found)
    print(
        f"{name:29}: recall {recall:.2f}, precision {precision:.2f}, log loss {log_loss(true, p):.3f}, "
        f"mean probability {p.mean():.3f}"
    )
    if "back" not in name:
        left.plot(*precision_recall_curve(true, p)[1::-1], color=color, lw=1.5)
        left.plot(recall, precision, marker, ms=10, color=color, mec="white", label=name)
    order = np.array_split(np.argsort(p), 8)
    right.plot(
        [p[rows].mean() for rows in order],
        [true[rows].mean() for rows in order],
        marker + ("--" if "back" in name else "-"),
        color=color,
        mfc="white" if "back" in name else color,
        label=name,
    )
left.set(xlabel="recall: share of the frauds found", ylabel="precision: share of alarms that are frauds")
left.legend(title="class_weight, at probability 1/2", loc="lower left")
right.plot([1e-4, 1], [1e-4, 1], ":", color="0.5")
right.set(xscale="log", yscale="log", xlabel="predicted probability of fraud", ylabel="share of frauds")
right.legend(title="class_weight")
plt.show()

# %%
# Left: all three curves are nearly the same. So class weights do not separate the classes better, and a lower threshold
# on the probabilities would do as well. Right: with class weights the probabilities are off the diagonal, and dividing
# the odds by the weight nearly corrects them.
