"""The structure of the package: which layer may import which, and how long a module may be."""

import ast
import inspect
import pickle
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter

import numpy as np
import pytest
from house import ROOMS, ROOT, floor, graph, imports, is_below_the_face, name_of, nodes

import skbackprop
from skbackprop import MLPSoftmaxClassifier

ESTIMATORS = {"BaseEstimator", "BaseMLP", "MLPRegressor", "MLPSoftmaxClassifier"}

# sys.path without the hooks of an editable installation, which -S leaves out
PATHS = f"import sys; sys.path[:] = [''] + {[p for p in sys.path if p]!r};"


def test_imports_go_down_only():
    for path in ROOMS:
        own = floor(path.relative_to(ROOT).parts)
        for module, name in imports(path):
            if module.split(".")[0] == "skbackprop":
                target = floor([*module.split(".")[1:], name])
                assert target <= own, f"{name_of(path)} imports {module}.{name} from a floor above"


def test_private_names_of_scikit_learn_stay_in_one_room():
    private = {
        (name_of(path), f"{module}.{name}")
        for path in ROOMS
        if not name_of(path).startswith("_checks/")
        for module, name in imports(path)
        if module.startswith("sklearn") and any(part.startswith("_") for part in [*module.split("."), name])
    }
    assert private == {("_fit/device.py", "sklearn.utils._array_api._convert_to_numpy")}  # from any device


def test_rooms_stay_small():
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ROOMS}
    limits = {name: 150 if name == "_engines/reference.py" else 300 for name in lines}
    assert not {name: n for name, n in lines.items() if n > limits[name]}


def test_no_circles():
    """Imports inside functions count too: a module is above those that it needs."""
    rooms = graph()
    assert rooms["skbackprop._interop.conversions"] > {"skbackprop._interop.sklearn"}
    list(TopologicalSorter(rooms).static_order())  # raises CycleError, which names the cycle


def of_rooms(paths):
    for path in paths:
        room = name_of(path)
        yield from ((room, node) for node in nodes(path))


def test_no_estimator_comes_below_the_face():
    """Modules below the public API, and `_dask`, use specifications and models instead of estimators."""
    for room, node in of_rooms(path for path in ROOMS if is_below_the_face(path)):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            assert "estimator" not in {a.arg for a in arguments}, f"{room}: {node.name} takes an estimator"
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            assert not bases & ESTIMATORS, f"{room}: {node.name} derives from an estimator"
        assert not (isinstance(node, ast.Name) and node.id in ESTIMATORS), f"{room} knows {node.id}"


def test_state_of_other_objects_is_theirs():
    """No `__dict__` of another object is used; scikit-learn's checks work on copies, which one function makes."""
    granted = {"_checks/rows.py", "_interop/onnx/known.py"}  # copies estimators; reads attributes of any estimator
    granted |= {"_estimator.py", "_prediction.py", "dask.py"}
    granted.add("_tabular_pipeline.py")  # restores its own steps
    for room, node in of_rooms(ROOMS):
        if isinstance(node, ast.Attribute) and node.attr == "__dict__" and room not in granted:
            assert ast.unparse(node.value) in {"self", "cls", "super()"}, f"{room}, line {node.lineno}"


def test_the_reference_engine_knows_the_equations():
    rooms = "_engines/reference.py", "_nn/losses.py", "_nn/activations.py"
    text = "".join((ROOT / room).read_text(encoding="utf-8") for room in rooms)
    for equation in range(1, 12):
        assert f"D{equation}" in text


@pytest.mark.slow
def test_a_pickle_loads_in_a_fresh_process(digits, tmp_path):
    X, y = digits[0][:200], digits[1][:200]
    model = MLPSoftmaxClassifier((10,), ["gelu"], learning_rate="cosine", max_iter=5, random_state=0).fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, sys, numpy as np, pathlib; at = pathlib.Path(sys.argv[1]);"
        "model = pickle.loads((at / 'model.pickle').read_bytes());"
        "np.save(at / 'p.npy', model.predict_proba(np.load(at / 'X.npy')))"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True, cwd=tmp_path)
    assert np.array_equal(np.load(tmp_path / "p.npy"), model.predict_proba(X))


def test_public_names_are_documented():
    for name in skbackprop.__all__:
        if name != "__version__":
            text = inspect.cleandoc(getattr(skbackprop, name).__doc__)
            assert not re.search(r"\{[a-z_]+\}", text)  # a shared part that was not inserted


@pytest.mark.slow
def test_an_unbuilt_checkout_says_what_to_do(tmp_path):
    shutil.copytree(ROOT, tmp_path / "skbackprop", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    result = subprocess.run(
        [sys.executable, "-S", "-c", PATHS + "import skbackprop"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "kernels are not built" in result.stderr
    assert "pip install ." in result.stderr


def test_show_config(capsys):
    skbackprop.show_config()
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["version"] == skbackprop.__version__
    assert lines["CPU level"] in lines["levels of this build"].split(", ")
    assert int(lines["threads"]) >= 1


def test_the_import_adds_no_heavy_module_to_scikit_learns():
    heavy = "[m for m in ('sklearn.metrics', 'sklearn.preprocessing', 'pandas') if m in sys.modules]"
    code = f"import sys, sklearn; print({heavy}); import skbackprop; print({heavy})"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    before, after = ran.stdout.splitlines()
    assert before == after
