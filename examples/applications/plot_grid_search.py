"""
A grid search in one picture
============================

How fast to learn, and how much to hold the weights back? GridSearchCV tries both together, with the scaler inside the
cross-validation, and a heat map shows not only the best cell but how wide the good region around it is.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor

# %%
# 442 patients, ten measurements each, and how far their diabetes went within a year: few rows and much noise, a case in
# which it matters to hold back.

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
# Without any search both are left to "auto": the rate of the plan, and a decay chosen by a short selection on the
# training rows alone.

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
# Here the decay decides and the rate hardly matters: without any decay fast training learns the noise by heart, with
# too much of it the network learns too little. The whole column around the best cell differs from it by less than the
# folds do from each other, and what "auto" finds stands in it.
