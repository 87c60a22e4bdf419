"""The tables of everything that has a name, read from the package's own tables."""

import inspect

from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

from .files import table, write


def first_line(function):
    """What an entry says of itself, if it has a docstring of its own."""
    text = inspect.getdoc(function) or ""
    return "" if function.__name__ == "<lambda>" else text.split("\n")[0].replace("|", "\\|")


def write_components(folder):
    parts = [
        table(
            "Activations",
            ["``activation``", "what it is", "initializer of the layer below (auto)"],
            [[f"``{k}``", first_line(e.phi) or " ", e.initializer] for k, e in ACTIVATIONS.items()],
        ),
        table(
            "Losses",
            ["``loss``", "task", "link", "value"],
            [
                [f"``{k.removeprefix('binary_')}``", e.task, e.link, first_line(e.value) or " "]
                for k, e in LOSSES.items()
            ],
        ),
        table(
            "Solvers",
            ["``solver``", "what it is"],
            [
                *([f"``{k}``", first_line(e.update)] for k, e in OPTIMIZERS.items()),
                ["``lbfgs``", "SciPy's L-BFGS-B on the full batch (Zhu et al., 1997)."],
            ],
        ),
        table(
            "Schedules",
            ["``learning_rate``", "factor", "plans for ``max_iter`` epochs"],
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
            ["``initializer``", "what it is"],
            [["``auto``", "chosen by the activation; the output layer starts at zero"]]
            + [[f"``{k}``", k.replace("_", ", ")] for k in INITIALIZERS],
        ),
    ]
    write(folder / "components.inc", "\n\n".join(parts))
