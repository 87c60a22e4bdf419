"""
Prediction intervals in three ways
==================================

How long will the delivery take, and how sure is that? Two losses answer with more than one number: ``loss="quantile"``
learns the quantiles that you ask for and assumes nothing else; ``loss="gaussian"`` learns a mean and a standard
deviation for each row. And networks that leave out a fold of the rows each tell how far off such networks are. Here the
truth is known, so we can see what each gets right.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor
from skbackprop.ensemble import MLPEnsembleRegressor

# %%
# Driving takes half an hour or so; waiting in traffic, exponentially distributed, comes on top: more in the rush hours,
# and never less than nothing. So the noise is neither of one width nor symmetric.

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
# The models, whose intervals should hold nine deliveries in ten.

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
# Lines of dashes are the truth: the quantiles that the rows were drawn from.

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
# Nine in ten over the whole day may still be too few at some hours. So look at parts of the day, as one should with any
# column that matters; the figures are shares inside.

parts = [("5 to 7", 5, 7), ("7 to 10", 7, 10), ("10 to 16", 10, 16), ("16 to 19", 16, 19), ("19 to 22", 19, 22)]
answers = [answer(X_test) for answer in (by_quantiles.predict, gaussian_quantiles, folds_quantiles)]
print(f"{'hours':16}{'quantile':>10}{'gaussian':>10}{'folds':>10}")
for name, begin, end in parts:
    of_part = (begin <= X_test[:, 0]) & (X_test[:, 0] < end)
    inside = [np.mean((a[of_part, 0] <= y_test[of_part]) & (y_test[of_part] <= a[of_part, 2])) for a in answers]
    print(f"{name:16}" + "".join(f"{share:10.1%}" for share in inside))

# %%
# All hold about nine in ten. The quantiles sit where they should, with nobody arriving before the drive is over; of
# the rows outside, half are below and half above. The normal distribution gets the width of the noise, hour by hour,
# but has to be symmetric: its lower edge promises deliveries that cannot be, and all rows outside are above. Where the
# noise is symmetric, its two numbers per row say all there is to say. The widths of the folds' intervals follow how far
# the members of a network disagree, which is too wide in the early morning and too narrow in the rush hours, as the
# table shows: where such hours matter, take quantiles. But only of the folds is something proved for any network,
# however badly it fits: see the user guide.
