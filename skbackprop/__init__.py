"""The multi-layer perceptron a scikit-learn user would choose."""

from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._engines.compiled import show_config
from skbackprop._fit.validation import DivergenceError
from skbackprop._regressor import MLPRegressor
from skbackprop.tabular import tabular_pipeline

__version__ = "0.1.0"

__all__ = [
    "DivergenceError",
    "MLPRegressor",
    "MLPSoftmaxClassifier",
    "__version__",
    "show_config",
    "tabular_pipeline",
]
