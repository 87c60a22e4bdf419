"""
Prediction intervals in three ways
==================================

This example compares three kinds of prediction intervals for the duration of deliveries. ``loss="quantile"`` predicts
given quantiles, without assumptions about the distribution. ``loss="gaussian"`` predicts a mean and a standard
deviation for each row. Cross-validated ensembles compute intervals from their residuals on held-out folds. The data are
simulated, so the true quantiles are known.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor
from skbackprop.ensemble import MLPEnsembleRegressor

# %%
# The duration is a driving time of about half an hour plus a waiting time. The waiting time is exponentially
# distributed and longer in the rush hours. So the noise is not symmetric, and its width changes.

rng = np.random.default_rng(0)
LEVELS = np.array([0.05, 0.5, 0.95])


def drive(hour):
    return 30 + 4 * np.sin(hour / 3)


def mean_wait(hour):
    return 2 + 12 * np.exp(-(((hour - 8.5) / 1.5) ** 2)) + 9 * np.exp(-(((hour - 17.5) / 2) ** 2))


def deliveries(n):
    hour = rng.uniform(5, 22, n)
    return hour[:, None], drive(hour) + rng.exponential(mean_wait(hour))


X, y = deliveries(6000)
X_test, y_test = deliveries(20_000)

# %%
# The intervals of all models should contain nine in ten deliveries.

by_quantiles = make_pipeline(StandardScaler(), MLPRegressor(loss="quantile", quantile=LEVELS, random_state=0))
by_gaussian = make_pipeline(StandardScaler(), MLPRegressor(loss="gaussian", random_state=0))
folds = MLPEnsembleRegressor(MLPRegressor(n_members=4), blend=False, oob_score=True, random_state=0)
by_folds = make_pipeline(StandardScaler(), folds)
for model in (by_quantiles, by_gaussian, by_folds):
    model.fit(X, y)


def gaussian_quantiles(X):
    """The three quantiles of each row's normal distribution."""
    mean, std = by_gaussian.predict(X, return_std=True)
    return mean[:, None] + std[:, None] * norm.ppf(LEVELS)


def folds_quantiles(X):
    """Lower bound, prediction and upper bound."""
    prediction, bounds = by_folds.predict(X, interval=0.9)
    return np.column_stack([bounds[:, 0], prediction, bounds[:, 1]])


# %%
# Dashed lines are the true quantiles.

hours = np.linspace(5, 22, 300)
true = drive(hours)[:, None] - mean_wait(hours)[:, None] * np.log(1 - LEVELS)

fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True, layout="constrained")
for ax, name, answer in (
    (axes[0], 'loss="quantile"', by_quantiles.predict),
    (axes[1], 'loss="gaussian"', gaussian_quantiles),
    (axes[2], "folds", folds_quantiles),
):
    low, _, high = answer(X_test).T
    inside = np.mean((low <= y_test) & (y_test <= high))
    print(f"{name}: {inside:.1%} inside, {np.mean(y_test < low):.1%} below, {np.mean(y_test > high):.1%} above")
    low, middle, high = answer(hours[:, None]).T
    ax.plot(X[:1500, 0], y[:1500], ".", ms=2, color="0.7", zorder=0)
    ax.fill_between(hours, low, high, color="C0", alpha=0.3, label="5 % to 95 %")
    ax.plot(hours, middle, color="C0", lw=2, label="median" if "quant" in name else "mean")
    ax.plot(hours, true, "--", color="C1", lw=1.2, label=["true quantiles", None, None])
    ax.set(title=f"{name}: {inside:.0%} inside", xlabel="hour of the day", xticks=range(6, 23, 4), ylim=(10, 90))
    ax.legend(loc="upper right")
axes[0].set_ylabel("minutes")
plt.show()

# %%
# If the coverage is right over the whole day, it may still be too low at some hours. So we compute the coverage in
# parts of the day. Do this with any column that matters.

parts = [("5 to 7", 5, 7), ("7 to 10", 7, 10), ("10 to 16", 10, 16), ("16 to 19", 16, 19), ("19 to 22", 19, 22)]
answers = [answer(X_test) for answer in (by_quantiles.predict, gaussian_quantiles, folds_quantiles)]
print(f"{'hours':16}{'quantile':>10}{'gaussian':>10}{'folds':>10}")
for name, begin, end in parts:
    of_part = (begin <= X_test[:, 0]) & (X_test[:, 0] < end)
    inside = [np.mean((a[of_part, 0] <= y_test[of_part]) & (y_test[of_part] <= a[of_part, 2])) for a in answers]
    print(f"{name:16}" + "".join(f"{share:10.1%}" for share in inside))

# %%
# All intervals contain about nine in ten deliveries. The quantiles are close to the true ones; half of the rows outside
# are below and half are above. The normal distribution has the right width at each hour, but is symmetric: its lower
# bound is below the shortest possible duration, and all rows outside are above. It suits symmetric noise. The widths of
# the intervals from folds depend on the differences between the members of a network. They are too wide in the early
# morning and too narrow in the rush hours: if such hours matter, use quantiles. But only intervals from folds have a
# guaranteed coverage for any network, even one that fits badly: see the user guide.
