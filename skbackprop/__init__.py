"""The multi-layer perceptron a scikit-learn user would choose."""

from skbackprop._checks.messages import DivergenceError
from skbackprop._classifier import MLPSoftmaxClassifier
from skbackprop._engines.level import show_config
from skbackprop._regressor import MLPRegressor
from skbackprop._version import __version__
from skbackprop.tabular import tabular_pipeline

__all__ = ["DivergenceError", "MLPRegressor", "MLPSoftmaxClassifier", "__version__", "show_config", "tabular_pipeline"]
