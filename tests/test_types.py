"""What a type checker and an editor see: the names that a parameter takes, and a user's whole script."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import typing

import pytest

import skbackprop
from skbackprop import MLPRegressor, MLPSoftmaxClassifier
from skbackprop._nn import names
from skbackprop._nn.activations import ACTIVATIONS
from skbackprop._nn.encoders import ENCODERS
from skbackprop._nn.initializers import INITIALIZERS
from skbackprop._nn.losses import losses_for
from skbackprop._nn.optimizers import OPTIMIZERS
from skbackprop._nn.schedules import SCHEDULES

SCRIPT = pathlib.Path(__file__).with_name("typed_script.py")
HOME = pathlib.Path(skbackprop.__file__).parents[1]


def test_the_types_have_the_names_of_the_tables():
    tables = {
        names.Activation: ACTIVATIONS,
        names.ClassifierLoss: losses_for("classification"),
        names.RegressorLoss: losses_for("regression"),
        names.Solver: [*OPTIMIZERS, "lbfgs"],
        names.LearningRate: ["auto", *SCHEDULES],
        names.Initializer: ["auto", *INITIALIZERS],
        names.Encoder: ENCODERS,
    }
    for literal, table in tables.items():
        assert typing.get_args(literal) == tuple(table)


@pytest.mark.parametrize("kind", [MLPSoftmaxClassifier, MLPRegressor])
def test_each_parameter_that_is_a_name_has_a_type_with_its_names(kind):
    """Whatever a constraint takes of strings, the type of the constructor takes, and nothing else."""
    types = typing.get_type_hints(kind.__init__)
    compared = []
    for name, constraints in kind._parameter_constraints.items():
        options = {one for some in constraints for one in getattr(some, "options", ()) if isinstance(one, str)}
        parts = [types[name], *typing.get_args(types[name])]
        literals = {one for part in parts if typing.get_origin(part) is typing.Literal for one in typing.get_args(part)}
        if options and str not in parts:
            assert literals == options, name
            compared.append(name)
    assert {"activation", "loss", "solver", "learning_rate", "initializer", "numeric_encoder", "dtype"} <= set(compared)


def mypy():
    """Lines with an error, and what it is."""
    pytest.importorskip("mypy")
    # a package that is there by an import hook is found by its folder
    where = {} if HOME.name == "site-packages" else {"MYPYPATH": str(HOME)}
    run = subprocess.run(
        [sys.executable, "-P", "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
         "--no-incremental", SCRIPT.name],
        env={**os.environ, **where}, cwd=SCRIPT.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {int(line): text for line, text in re.findall(r"^typed_script\.py:(\d+): error: (.*)$", run.stdout, re.M)}


def pyright():
    """The same of pyright, which must be installed with its node."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("needs pyright")
    command = [sys.executable, "-P", "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, SCRIPT.name]
    run = subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, check=False)
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in found if one["severity"] == "error"}


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_users_script_is_clean_and_wrong_names_are_seen(checker):
    pytest.importorskip("onnx")  # whose types the script meets
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
    found = checker()
    assert len(wrong) == 15
    assert found.keys() == wrong, {n: text for n, text in found.items() if n not in wrong}
