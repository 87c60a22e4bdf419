"""
Learning rate schedules
=======================

The same network for handwritten digits, from the same initial weights, is trained with three schedules. Two of them
take 40 epochs: 'onecycle' rises once and falls to zero, 'coslog4' falls to zero several times, in longer and longer
cycles. The third is constant and ends by early stopping, after 15 epochs without a better loss on the validation rows.
"""

from math import inf

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.display import LossCurveDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# In each fit a tenth of the training rows is held out, and the weights of the best epoch are restored.

endings = {
    "constant": {"max_iter": 200, "n_iter_no_change": 15},
    "onecycle": {"epochs": 40, "n_iter_no_change": inf},
    "coslog4": {"epochs": 40, "n_iter_no_change": inf},
}
models = {}
for schedule, ending in endings.items():
    network = MLPSoftmaxClassifier(
        (50,),
        learning_rate=schedule,
        learning_rate_init=0.01,
        weight_decay=0.5,
        early_stopping=True,
        random_state=0,
        **ending,
    )
    models[schedule] = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
    print(
        f"{schedule}: best epoch {network.best_iter_} of {network.n_iter_}, "
        f"accuracy on the test rows {models[schedule].score(X_test, y_test):.3f}"
    )

# %%

colors = [{"color": color} for color in ("0.45", "#0072b2", "#d55e00")]
LossCurveDisplay.from_estimator(models, learning_rate=True, curve_kwargs=colors)
plt.show()

# %%
# Circles are the best epochs. With the constant rate the losses keep fluctuating. With 'coslog4' they rise whenever the
# rate rises. Where the rate ends near zero they converge, and the training loss is lowest.
