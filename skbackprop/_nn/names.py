"""The names in the tables of this package, for editors and type checkers; tests/test_types.py compares them."""

from typing import Literal, TypeAlias

# fmt: off
Activation: TypeAlias = Literal[
    "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_swish", "mish",
    "softplus", "softmax",
]
ClassifierLoss: TypeAlias = Literal["cross_entropy", "brier", "focal"]
RegressorLoss: TypeAlias = Literal[
    "squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma", "gaussian",
]
Solver: TypeAlias = Literal["adam", "nadam", "rmsprop", "sgd", "lion", "lbfgs"]
LearningRate: TypeAlias = Literal[
    "auto", "constant", "invscaling", "adaptive", "cosine", "warmup_cosine", "onecycle", "coslog4",
]
Initializer: TypeAlias = Literal[
    "auto", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal", "orthogonal",
]
Encoder: TypeAlias = Literal["identity", "piecewise_linear"]
