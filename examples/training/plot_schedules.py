"""
Three learning rates on one pair of axes
========================================

The same network for handwritten digits, from the same first weights, trained for 30 epochs at three learning rates.
At a constant rate the loss stays restless; with 'coslog4' it rises again whenever the rate does; where the rate ends
near zero, the loss settles. A tenth of the training rows is kept for validation, and marks show the best epochs by it.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPSoftmaxClassifier
from skbackprop.display import LossCurveDisplay

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # of the constant rate, as it never settles

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

models = {}
for schedule in ("constant", "onecycle", "coslog4"):
    network = MLPSoftmaxClassifier(
        (50,),
        learning_rate=schedule,
        learning_rate_init=0.01,
        weight_decay=0.5,
        max_iter=30,
        early_stopping=True,
        n_iter_no_change=30,  # as many as there are: watch all epochs, and keep the best one's weights
        random_state=0,
    )
    models[schedule] = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
    print(f"{schedule}: accuracy on the test rows {models[schedule].score(X_test, y_test):.3f}")

display = LossCurveDisplay.from_estimator(models, learning_rate=True)
display.figure_.suptitle("Digits: the loss under three learning rates")
plt.show()
