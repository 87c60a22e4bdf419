"""
From a CSV file to a decision in production
===========================================

Which customers cancel next month? The file has numbers, strings and missing values, and few customers cancel. This page
trains a model with ``tabular_pipeline``, tunes a threshold for the costs of mistakes, exports the model to ONNX, and
writes a model card.
"""

import io
import pathlib
import tempfile
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.calibration import CalibrationDisplay
from sklearn.dummy import DummyClassifier
from sklearn.metrics import confusion_matrix, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import TunedThresholdClassifierCV, train_test_split

from skbackprop import tabular_pipeline

# %%
# The file
# --------
#
# The customers are simulated. Columns of numbers and of strings have missing values, and one customer in six leaves.

rng, n = np.random.default_rng(0), 6000
made = pd.DataFrame({"months": rng.exponential(20, n), "bill": rng.lognormal(3, 0.5, n), "calls": rng.poisson(2, n)})
made["plan"] = rng.choice(["basic", "family", "flat"], n, p=[0.5, 0.3, 0.2])
risk = np.where(made["plan"] == "basic", made["bill"] / 8, 0.5) + abs(made["calls"] - 2) - made["months"] / 6 - 3.0
made["left"] = np.where(rng.random(n) < 1 / (1 + np.exp(-risk)), "leaves", "stays")
made.loc[rng.random(n) < 0.1, "bill"], made.loc[rng.random(n) < 0.1, "plan"] = np.nan, None
file = io.StringIO(made.round(2).to_csv(index=False))

frame = pd.read_csv(file)
X, y = frame.drop(columns="left"), frame["left"]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=2000, stratify=y, random_state=0)
print(frame.head(4).to_string())
print("gaps:", X.isna().sum().to_dict())
print("of all customers leave:", f"{(y == 'leaves').mean():.1%}")

# %%
# The model
# ---------
#
# ``tabular_pipeline`` needs no imputer, scaler or encoder. We use no class weights, which would make the probabilities
# of the rare class too large. Without them the probabilities are calibrated.

model = tabular_pipeline("classifier", random_state=0).fit(X_train, y_train)
p = model.predict_proba(X_test)[:, 0]
leaves = (y_test == "leaves").to_numpy()
print(f"network: ROC AUC {roc_auc_score(leaves, p):.3f}, log loss {log_loss(leaves, p):.3f}")
share = DummyClassifier(strategy="prior").fit(X_train, y_train).predict_proba(X_test)[:, 0]
print(f"knowing nothing: ROC AUC {roc_auc_score(leaves, share):.3f}, log loss {log_loss(leaves, share):.3f}")

# %%
# The decision
# ------------
#
# A customer who leaves unnoticed costs 100, and a voucher for a customer who would have stayed costs 10. `predict`
# returns the more probable class, which ignores these costs. scikit-learn finds the threshold with the lowest cost by
# cross-validation on the training rows.


def gain(y_true, y_pred):
    """Minus what the decisions cost, per customer."""
    (_, missed), (vouchers, _) = confusion_matrix(y_true, y_pred, labels=["leaves", "stays"])
    return -(100 * missed + 10 * vouchers) / len(y_true)


decision = TunedThresholdClassifierCV(model, scoring=make_scorer(gain), cv=3, random_state=0).fit(X_train, y_train)
threshold = 1.0 - decision.best_threshold_  # of "leaves": the scorer's threshold is that of the last class
for name, fitted in {"likelier class": model, "tuned threshold": decision}.items():
    predicted = fitted.predict(X_test)
    found = np.mean(predicted[leaves] == "leaves")
    print(f"{name}: costs {-gain(y_test, predicted):.2f} per customer, finds {found:.0%} of those who leave")
print(f"a voucher from a probability of {threshold:.2f} on; 10 / (100 + 10) = 0.09 would be right for exact ones")

# %%
# Left: the predicted probabilities are close to the observed frequencies. Right: the cost of each threshold on the test
# rows, and the threshold that was tuned on the training rows.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
CalibrationDisplay.from_predictions(leaves, p, n_bins=8, strategy="quantile", name="network", ax=left)
left.set(xlabel="predicted probability of leaving", ylabel="share that left")
thresholds = np.linspace(0.01, 0.9, 90)
costs = [-gain(y_test, np.where(p >= t, "leaves", "stays")) for t in thresholds]
right.plot(thresholds, costs)
right.axvline(threshold, ls="--", color="C1", label="tuned on the training rows")
right.set(xlabel="threshold", ylabel="cost per customer")
right.legend()
plt.show()

# %%
# To production
# -------------
#
# One ONNX graph contains the encoding of the columns, the network and the threshold (``pip install
# 'skbackprop[onnx]'``). Its inputs are the columns, by name, as numbers or strings.

if find_spec("skl2onnx") and find_spec("onnxruntime"):
    import onnxruntime

    from skbackprop.onnx import to_inputs, to_onnx

    exported = to_onnx(decision, X_test)
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    labels = session.run(None, to_inputs(exported, X_test))[0]
    print(f"ONNX Runtime decides the same: {np.array_equal(labels.ravel(), decision.predict(X_test))}")
    print("inputs:", {one.name: one.type for one in session.get_inputs()})

# %%
# A model card documents the model (``pip install skops``).

if find_spec("skops"):
    from skops.card import Card

    card = Card(decision, model_diagram=False)
    card.add_metrics(**{"ROC AUC": round(roc_auc_score(leaves, p), 3), "cost per customer": -gain(y_test, predicted)})
    card.add(
        **{
            "Model description": "Who cancels within a month, from a contract's figures.",
            "Model description/Intended uses & limitations": "Vouchers. Not for customers of less than a month.",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        card.save(pathlib.Path(folder, "README.md"))
        text = pathlib.Path(folder, "README.md").read_text()
    starts = ("# Model description", "## Intended", "Who", "Vouchers", "## Evaluation", "|      ROC", "| cost")
    print("\n".join(line for line in text.splitlines() if line.startswith(starts)))
