"""
Hyperparameter search in two minutes
====================================

GridSearchCV searches the learning rate and the weight decay together, with the scaler inside the cross-validation. A
heat map shows the best values, and how much the score changes around them. Then RandomizedSearchCV searches six
parameters of ``tabular_pipeline``. Both are compared with the defaults.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, tabular_pipeline

# %%
# The data are ten features of 442 patients, and the progression of their diabetes after a year. Regularisation matters
# here, because there are few rows with much noise.

X, y = load_diabetes(return_X_y=True)
model = make_pipeline(StandardScaler(), MLPRegressor((50, 50), random_state=0))
rates, decays = [0.0003, 0.001, 0.003, 0.01, 0.03], [0.0, 0.5, 2.0, 8.0]
grid = {"mlpregressor__learning_rate_init": rates, "mlpregressor__weight_decay": decays}
folds = KFold(5, shuffle=True, random_state=0)
search = GridSearchCV(model, grid, cv=folds, n_jobs=2).fit(X, y)
best = {name.partition("__")[2]: value for name, value in search.best_params_.items()}
spread = search.cv_results_["std_test_score"][search.best_index_]
print(f"best of {len(rates) * len(decays)} settings: {best}")
print(f"its R2: {search.best_score_:.3f}, with a standard deviation of {spread:.3f} over the folds")

# %%
# Without a search both are "auto": the default learning rate, and a weight decay that ``fit`` selects on the training
# rows.

auto = cross_val_score(model, X, y, cv=folds).mean()
chosen = model.fit(X, y)[-1].auto_params_
print(f"no search: R2 {auto:.3f}, with weight_decay={chosen['weight_decay']} found in the selection on all rows")

# %%

scores = search.cv_results_["mean_test_score"].reshape(len(rates), len(decays))
fig, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
picture = ax.imshow(scores, cmap="cividis", vmin=np.quantile(scores, 0.1), aspect="auto", origin="lower")
for (i, j), score in np.ndenumerate(scores):
    is_best = score == scores.max()
    dark = picture.norm(score) < 0.5
    ax.text(
        j, i, f"{score:.3f}", ha="center", va="center",
        color="white" if dark else "black", weight="bold" if is_best else "normal",
    )  # fmt: skip
ax.set_xticks(range(len(decays)), decays)
ax.set_yticks(range(len(rates)), rates)
ax.set(xlabel="weight_decay", ylabel="learning_rate_init", title=f"R² by 5-fold cross-validation (auto: {auto:.3f})")
fig.colorbar(picture, extend="min")
plt.show()

# %%
# Here the weight decay matters and the learning rate hardly does. Without weight decay the network overfits, with too
# much of it the network underfits. The values in the column of the best one differ by less than the folds do, and the
# weight decay that "auto" selects is in this column.

# %%
# Six parameters at random
# ------------------------
#
# Search more than two parameters at random: a grid would spend most of its time on parameters that do not matter. The
# ranges are those of the user guide. The data are simulated: y depends on five of ten columns, and there is little
# noise, so a search can improve the model. The test rows are not used for the search.

X, y = make_friedman1(1200, noise=0.3, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=400, random_state=0)
ranges = {
    "mlp__weight_decay": loguniform(0.02, 3.0),
    "mlp__learning_rate_init": loguniform(0.003, 0.03),
    "mlp__epochs": [12, 24, 40],
    "mlp__hidden_layer_sizes": [(64, 64), (128, 128), (256, 256)],
    "mlp__n_bins": [4, 16, 48],
    "mlp__dropout": [0.0, 0.1, 0.2],
}
table = tabular_pipeline("regressor", random_state=0)
tuned = RandomizedSearchCV(table, ranges, n_iter=10, cv=3, n_jobs=2, random_state=0).fit(X_train, y_train)
models = {
    "default": table.fit(X_train, y_train),
    'effort="best", no search': tabular_pipeline("regressor", effort="best", random_state=0).fit(X_train, y_train),
    "best of 10 at random": tuned,
}
for name, fitted in models.items():
    print(f"{name}: 1 - R2 = {1.0 - fitted.score(X_test, y_test):.4f} on the test rows")
print(pd.Series(tuned.best_params_).rename(lambda name: name.partition("__")[2]).to_string())

# %%
# A plot of the candidates shows which parameters matter. If the best value is at the edge of a range, use a wider
# range.

results = pd.DataFrame(tuned.cv_results_)
fig, axes = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
for ax, name in zip(axes, ["weight_decay", "learning_rate_init", "epochs", "n_bins"], strict=True):
    ax.plot(results[f"param_mlp__{name}"].astype(float), results["mean_test_score"], "o")
    ax.plot(float(tuned.best_params_[f"mlp__{name}"]), tuned.best_score_, "o", ms=10, mfc="none", color="C1")
    ax.set(xlabel=name, xscale="log")
axes[0].set_ylabel("R² by 3-fold cross-validation")
plt.show()
