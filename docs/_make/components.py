"""Tables of activations, losses, solvers, schedules and initializers, read from the tables of the package."""

import inspect
import re

from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

from .files import table, write


def first_line(function):
    """The first line of an entry's docstring, if it has one."""
    text = inspect.getdoc(function) or ""
    return "" if function.__name__ == "<lambda>" else text.split("\n")[0].replace("|", "\\|")


FORMULAS = {  # typeset; docstrings have them plain
    "identity": "v",
    "logistic": r"1 / (1 + e^{-v})",
    "tanh": r"\tanh v",
    "relu": r"\max(0, v)",
    "leaky_relu": r"\max(v, 0.01\,v)",
    "elu": r"\max(0, v) + \min(0, e^v - 1)",
    "selu": r"1.0507 \left[\max(0, v) + 1.6733 \min(0, e^v - 1)\right]",
    "gelu": r"v\,\Phi(v)",
    "silu": r"v / (1 + e^{-v})",
    "hard_swish": r"v \min(\max(v + 3, 0), 6) / 6",
    "mish": r"v \tanh(\ln(1 + e^v))",
    "softplus": r"\ln(1 + e^v)",
    "softmax": r"e^{v_i} / \sum_k e^{v_k}",
    "cross_entropy": r"-\sum_j y_j \ln a_j",
    "brier": r"\sum_j (a_j - y_j)^2",
    "focal": r"-\sum_j y_j (1 - a_j)^\gamma \ln a_j",
    "binary_cross_entropy": r"-\sum_j \left[y_j \ln a_j + (1 - y_j) \ln(1 - a_j)\right]",
    "binary_brier": r"\sum_j (a_j - y_j)^2",
    "binary_focal": r"-\sum_j \left[y_j (1 - a_j)^\gamma \ln a_j + (1 - y_j) a_j^\gamma \ln(1 - a_j)\right]",
    "squared_error": r"\tfrac{1}{2} \sum_j (a_j - y_j)^2",
    "absolute_error": r"\sum_j |a_j - y_j|",
    "huber": r"\sum_j r_j^2 / 2 \text{ for } |r_j| \le \delta, \text{ else } \delta (|r_j| - \delta / 2);\ r = a - y",
    "quantile": r"\sum_{j,q} \max(q\,r_{jq}, (q - 1)\,r_{jq});\ r = y - a",
    "poisson": r"\sum_j y_j \ln(y_j / a_j) - y_j + a_j",
    "gamma": r"\sum_j \ln(a_j / y_j) + y_j / a_j - 1",
}


def described(name, function):
    """The formula of an entry and its source, else the first line of its docstring."""
    text = first_line(function)
    if name not in FORMULAS:
        return text or " "
    source = re.search(r"\(([A-Z][^()]*, (?:\d{4}))\)", text)
    return f":math:`{FORMULAS[name]}`" + (f" ({source[1]})" if source else "")


def write_components(folder):
    unknown = FORMULAS.keys() - ACTIVATIONS.keys() - LOSSES.keys()
    if unknown:
        raise RuntimeError(f"There are formulas of what does not exist: {sorted(unknown)}")
    parts = [
        table(
            "Activations",
            ["``activation``", "formula", "initializer of the layer below (auto)"],
            [[f"``{k}``", described(k, e.phi), e.initializer] for k, e in ACTIVATIONS.items()],
        ),
        table(
            "Losses",
            ["``loss``", "task", "link", "formula"],
            [[f"``{k.removeprefix('binary_')}``", e.task, e.link, described(k, e.value)] for k, e in LOSSES.items()],
        ),
        table(
            "Solvers",
            ["``solver``", "algorithm"],
            [
                *([f"``{k}``", first_line(e.update)] for k, e in OPTIMIZERS.items()),
                ["``lbfgs``", "SciPy's L-BFGS-B on the full batch (Zhu et al., 1997)."],
            ],
        ),
        table(
            "Schedules",
            ["``learning_rate``", "factor of the learning rate", "depends on ``max_iter``"],
            [
                [
                    f"``{k}``",
                    "Divided by 5 at each plateau." if e.plateau else first_line(e.factor),
                    "yes" if e.horizon else "no",
                ]
                for k, e in SCHEDULES.items()
            ],
        ),
        table(
            "Initializers",
            ["``initializer``", "distribution"],
            [["``auto``", "depends on the activation; the output layer starts at zero"]]
            + [[f"``{k}``", k.replace("_", ", ")] for k in INITIALIZERS],
        ),
    ]
    write(folder / "components.inc", "\n\n".join(parts))
