"""
A DataFrame with categories and missing values
==============================================

The estimators encode the columns of a table themselves, without a scaler, an imputer or a one-hot encoder. The encoding
is saved and exported with them, and importances are those of the original columns. The last section shows common
mistakes and their error messages.
"""

import pickle

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.model_selection import cross_val_score, train_test_split

from skbackprop import MLPSoftmaxClassifier
from skbackprop.inspection import feature_importances
from skbackprop.onnx import to_inputs, to_onnx

# %%
# The loans are simulated: amounts in euros, months, categories as strings, and missing values.

rng, n = np.random.default_rng(0), 6000
X = pd.DataFrame(
    {
        "income": rng.lognormal(10.3, 0.5, n),
        "amount": rng.lognormal(9.0, 0.7, n),
        "months": rng.integers(6, 73, n),
        "job": rng.choice(["civil servant", "employee", "free", "none"], n, p=[0.2, 0.5, 0.2, 0.1]),
        "purpose": rng.choice(["car", "house", "travel"], n),
    }
)
burden = X["amount"] / X["months"] / X["income"] * 400
y = np.where(rng.random(n) < 1 / (1 + np.exp(5.0 - burden - 2.0 * (X["job"] == "free"))), "late", "in time")
X.loc[rng.random(n) < 0.1, "income"], X.loc[rng.random(n) < 0.1, "job"] = np.nan, None
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# The model is cross-validated, fitted and saved. In each fold the encoding is learned from the training rows only.

model = MLPSoftmaxClassifier(numeric_encoder="piecewise_linear", random_state=0)
print("accuracy", cross_val_score(model, X_train, y_train, cv=3).round(3))
model.fit(X_train, y_train)
again = pickle.loads(pickle.dumps(model))
print(
    "test accuracy",
    round(again.score(X_test, y_test), 3),
    "where",
    round((y_test == "in time").mean(), 3),
    "are in time",
)
print("inputs of the network", model.coefs_[0].shape[0], "and categories", model.categories_[3].tolist())

# %%
# In the ONNX graph (``pip install 'skbackprop[onnx]'``) each column is an input: a number, or the string of a category.

exported = to_onnx(model)
session = onnxruntime.InferenceSession(exported.SerializeToString())
labels = session.run(["label"], to_inputs(exported, X_test))[0]
print("inputs", [described.name for described in session.get_inputs()])
print("same labels", (labels == model.predict(X_test)).mean())

# %%
# Importances are computed for columns, however many inputs of the network a column has: from the weights of the first
# layer, and by permutation. The weights are only a first impression: a column with many inputs has more weights.

by_score = permutation_importance(model, X_test, y_test, scoring="neg_log_loss", n_repeats=5, random_state=0)
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
axes[0].barh(list(X), feature_importances(model))
axes[0].set(title="weights of the first layer")
axes[1].barh(list(X), by_score.importances_mean, xerr=by_score.importances_std)
axes[1].set(title="increase of the log loss when shuffled")
plt.show()

# %%
# Categories that training did not contain are ignored, and missing values are allowed in all columns.

new = X_test.iloc[:2].assign(job=["astronaut", None], months=[24.0, np.nan])
print(model.predict_proba(new).round(2))

# %%
# Error messages name the column.

numbers, texts = model.__class__(random_state=0), X_test.assign(months=X_test["months"].astype(str) + " months")
mistakes = {
    "gaps in numbers that are taken as they are": lambda: numbers.fit(X_train, y_train),
    "a column is missing": lambda: model.predict(X_test.drop(columns="job")),
    "a column of numbers holds texts": lambda: model.predict(texts),
    "an array of texts, whose categories nobody named": lambda: numbers.fit(X_train.to_numpy(), y_train),
    "names of columns that are not there": lambda: model.set_params(categorical_features=["town"]).fit(
        X_train, y_train
    ),
    "to scikit-learn's MLP, which has no such columns": again.to_sklearn,
}
for what, make_it in mistakes.items():
    try:
        make_it()
    except ValueError as error:
        print(f"{what}:\n    {str(error).splitlines()[0]}")
