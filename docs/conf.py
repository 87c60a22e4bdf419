"""The documentation's settings; the tables of components are written from the package's own tables."""

import inspect
import json
import pathlib
import sys

import matplotlib
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.preprocessing import scale
from sklearn.utils import estimator_html_repr

import skbackprop
from skbackprop import MLPSoftmaxClassifier
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES
from skbackprop.display import LossCurveDisplay

here = pathlib.Path(__file__).parent
benchmarks = here.parent / "benchmarks"
sys.path.insert(0, str(benchmarks))
import accuracy

matplotlib.use("Agg")
project = "skbackprop"
copyright = "the skbackprop developers"
version = release = skbackprop.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
html_title = project
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False}
html_sidebars = {
    page: [] for page in ("user_guide", "components", "derivation", "extend", "benchmarks", "changelog")
}
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's parameters say it in words
autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseEstimator",
    "exclude-members": "set_fit_request, set_partial_fit_request, set_predict_request, set_score_request, "
    "get_metadata_routing, args, add_note, with_traceback",
}
# inherited docstrings refer to labels of scikit-learn's own documentation
suppress_warnings = ["ref.ref", "ref.term"]


def first_line(function):
    """What an entry says of itself, if it has a docstring of its own."""
    text = inspect.getdoc(function) or ""
    return "" if function.__name__ == "<lambda>" else text.split("\n")[0].replace("|", "\\|")


def table(title, columns, rows):
    lines = [title, "-" * len(title), "", ".. list-table::", "   :header-rows: 1", ""]
    for row in [columns, *rows]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def write_tables(path):
    parts = [
        "Components\n==========\n\nEvery name that the parameters accept, read from the tables of the package.\n",
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
    write(path, "\n\n".join(parts))


def write(path, text):
    if not path.exists() or path.read_text() != text:  # an untouched file is not built again
        path.write_text(text)


def write_results(folder, path):
    """The tables of compare.py's results: peers' seconds divided by skbackprop's."""
    found = json.loads((folder / "compare.json").read_text())
    peers = ["scikit-learn", "torch", "XLA", "onnxruntime"]
    rows = [
        [
            f"**{r['work']}** {r['what']}",
            f"{r['seconds']['skbackprop']:.3g} s",
            *(f"{r['ratios'][peer]:.2f}" if peer in r["ratios"] else " " for peer in peers),
            f"{r['peak']:.2f}" if r["peak"] else " ",
        ]
        for r in found["results"]
    ]
    title = {"1-thread": "One thread", "2-threads": "Two threads"}.get(
        folder.name, "One thread, AVX2 instructions only"
    )
    write(path, table(title, ["work", "skbackprop", *peers, "peak"], rows) + f"\n{found['facts']}.\n")


def draw_losses(folder):
    """The pictures of LossCurveDisplay in the guide."""
    X, y = load_digits(return_X_y=True)
    models = {
        schedule: MLPSoftmaxClassifier(
            (50,), learning_rate=schedule, max_iter=20, weight_decay=0.5, early_stopping=True, random_state=0
        ).fit(scale(X), y)
        for schedule in ("onecycle", "cosine", "coslog4")
    }
    one = LossCurveDisplay.from_estimator(models["onecycle"], learning_rate=True)
    one.figure_.savefig(folder / "loss-curves-one.png", dpi=150)
    LossCurveDisplay.from_estimator(models).figure_.savefig(folder / "loss-curves-three.png", dpi=150)


write_tables(here / "components.rst")
draw_losses(here)
write(here / "diagram.inc", estimator_html_repr(skbackprop.tabular_pipeline("classifier", n_members=8)))
for found in sorted((benchmarks / "results").glob("*/compare.json")):
    write_results(found.parent, here / f"results-{found.parent.name}.inc")
tables = pd.read_csv(benchmarks / "results" / "accuracy" / "accuracy.csv")
accuracy.write_report(tables, list(dict.fromkeys(tables["model"])), here)
