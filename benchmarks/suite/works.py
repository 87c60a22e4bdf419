"""Fits and predictions of a second or less, on data that come with scikit-learn or are drawn."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_diabetes, load_digits, make_classification
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbackprop import MLPRegressor, MLPSoftmaxClassifier

warnings.simplefilter("ignore")
FOREVER = 10**6


def drawn(n, width, n_classes=10, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, width)).astype(dtype), rng.integers(0, n_classes, n)


class Fit:
    """One shape of network a row: name, rows, columns, hidden layers, batch, epochs."""

    SHAPES = {
        "images": (12_000, 784, (100,), 200, 2),
        "images, small batches": (12_000, 784, (100,), 32, 1),
        "images, deep": (6_000, 784, (512, 512), 128, 1),
        "digits": (1_797, 64, (100,), 32, 20),
        "wide": (4_096, 1_024, (1024, 1024), 1024, 1),
    }
    params = (list(SHAPES), ["float32", "float64"], [1, 2])
    param_names = ("shape", "dtype", "n_threads")

    def setup(self, shape, dtype, n_threads):
        n, width, hidden, batch_size, max_iter = self.SHAPES[shape]
        self.X, self.y = drawn(n, width, dtype=dtype)
        self.model = MLPSoftmaxClassifier(
            hidden,
            batch_size=batch_size,
            max_iter=max_iter,
            learning_rate="constant",
            n_iter_no_change=FOREVER,
            n_threads=n_threads,
            random_state=0,
        )

    def time_fit(self, *params):
        self.model.fit(self.X, self.y)

    def peakmem_fit(self, *params):
        self.model.fit(self.X, self.y)


class Extras:
    """What features cost, on one shape."""

    OPTIONS = {
        "none": {},
        "dropout": {"dropout": 0.2},
        "class_weight": {"class_weight": "balanced"},
        "label_smoothing": {"label_smoothing": 0.1},
        "early_stopping": {"early_stopping": True},
        "max_grad_norm": {"max_grad_norm": 1.0},
        "gelu": {"activation": "gelu"},
    }
    params = list(OPTIONS)

    def setup(self, option):
        self.X, self.y = drawn(12_000, 784)
        self.model = MLPSoftmaxClassifier(
            (100,),
            batch_size=200,
            max_iter=2,
            learning_rate="constant",
            n_iter_no_change=FOREVER,
            n_threads=1,
            random_state=0,
            **self.OPTIONS[option],
        )

    def time_fit(self, option):
        self.model.fit(self.X, self.y)


class Text:
    """Sparse rows in many columns."""

    def setup(self):
        rng = np.random.default_rng(0)
        columns = np.sort(rng.integers(0, 50_000, (5_000, 100)), axis=1).ravel()
        stored = rng.random(500_000, dtype=np.float32), columns, np.arange(0, 500_001, 100)
        self.X = sp.csr_matrix(stored, (5_000, 50_000))
        self.y = rng.integers(0, 5, 5_000)
        self.model = MLPSoftmaxClassifier((100,), batch_size=200, learning_rate="constant", max_iter=1, n_threads=1)

    def time_fit(self):
        self.model.fit(self.X, self.y)

    def peakmem_fit(self):
        self.model.fit(self.X, self.y)


class Predict:
    params = [1, 1_000, 30_000]
    param_names = ("rows",)

    def setup(self, rows):
        X, y = drawn(30_000, 784)
        self.model = MLPSoftmaxClassifier((100,), max_iter=1, n_threads=1).fit(X[:2_000], y[:2_000])
        self.X = X[:rows].copy()

    def time_predict_proba(self, rows):
        self.model.predict_proba(self.X)


class Score:
    """Mean of five folds under the defaults: higher is better."""

    timeout = 300

    def track_digits_accuracy(self):
        X, y = load_digits(return_X_y=True)
        return cross_val_score(make_pipeline(StandardScaler(), MLPSoftmaxClassifier(random_state=0)), X, y).mean()

    def track_diabetes_r2(self):
        X, y = load_diabetes(return_X_y=True)
        return cross_val_score(make_pipeline(StandardScaler(), MLPRegressor(random_state=0)), X, y).mean()

    def track_early_stopping_accuracy(self):
        X, y = make_classification(5_000, 30, n_informative=15, n_classes=4, random_state=0)
        return cross_val_score(MLPSoftmaxClassifier(early_stopping=True, random_state=0), X, y).mean()
