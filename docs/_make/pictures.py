"""Pictures of the user guide that the package itself draws."""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale
from sklearn.utils import estimator_html_repr

from skbackprop import MLPSoftmaxClassifier, tabular_pipeline
from skbackprop.display import LossCurveDisplay

from .files import write


def draw_losses(folder):
    """LossCurveDisplay of one network and of three."""
    X, y = load_digits(return_X_y=True)
    models = {
        schedule: MLPSoftmaxClassifier(
            (50,), learning_rate=schedule, max_iter=20, weight_decay=0.5, early_stopping=True, random_state=0
        ).fit(scale(X), y)
        for schedule in ("onecycle", "cosine", "coslog4")
    }
    one = LossCurveDisplay.from_estimator(models["onecycle"], learning_rate=True)
    three = LossCurveDisplay.from_estimator(models)
    one.figure_.savefig(folder / "loss-curves-one.png", dpi=150)
    three.figure_.savefig(folder / "loss-curves-three.png", dpi=150)
    plt.close("all")


def write_diagram(folder):
    """The tabular pipeline as notebooks show it."""
    write(folder / "diagram.inc", estimator_html_repr(tabular_pipeline("classifier", n_members=8)))
