"""What all tests share."""

import importlib.util
import os
import pathlib
import random
import re
import signal

import pytest

# the tests' matrices are small, and processes whose BLAS starts a thread for each core get in each other's way
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# numpy, scikit-learn and the package are imported where they are used: the process that only hands out tests needs none

# the background jobs of a shell, and all that they start, ignore Ctrl-C, which some tests send themselves
signal.signal(signal.SIGINT, signal.default_int_handler)

# needs the variable, and optional packages: test_array_api.py runs it where it has both
collect_ignore = [] if os.environ.get("SCIPY_ARRAY_API") else ["array_api_cases.py"]
collect_ignore += ["typed_script.py"]  # type checkers read it, and nobody runs it
if importlib.util.find_spec("polars") is None:  # which free-threaded Pythons have no wheel of
    collect_ignore += ["fuzzing.py", "fuzzing_data.py", "test_fuzz.py", "test_texts.py"]


@pytest.fixture(scope="session")
def digits():
    """Real images, standardised, and their digits."""
    from sklearn.datasets import load_digits
    from sklearn.preprocessing import StandardScaler

    X, y = load_digits(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="session")
def diabetes():
    """Real patients, standardised, and the progression of their disease."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import StandardScaler

    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(autouse=True)
def seeded():
    """What draws from the generators that all share draws the same in every run and every order of the tests."""
    import numpy as np

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- it is what unseeded code draws from


@pytest.fixture
def rng():
    """Seeded numbers."""
    import numpy as np

    return np.random.default_rng(0)


# of the package, that import it
ROOMS = {"distributed": ["dask.py", "_dask"], "torch": ["_interop/torch.py", "_interop/torch_ensembles.py"]}


def pytest_configure(config):
    """Rooms that need a package which is missing are not searched for doctests."""
    package = pathlib.Path(importlib.util.find_spec("skbackprop").origin).parent
    missing = [room for name, rooms in ROOMS.items() if importlib.util.find_spec(name) is None for room in rooms]
    config.option.ignore = [*(config.option.ignore or []), *(str(package / room) for room in missing)]


NEEDED = {"skbackprop.onnx": ("onnx", "onnxruntime", "skl2onnx")}  # by the doctests of a module


def pytest_collection_modifyitems(items):
    """Skip doctests that need an optional package which is missing."""
    for item in items:
        module = item.name.rpartition(".")[0] if isinstance(item, pytest.DoctestItem) else ""
        for package in NEEDED.get(module, ()):
            if importlib.util.find_spec(package) is None:
                item.add_marker(pytest.mark.skip(reason=f"could not import {package!r}"))


# packages of the guide's recipes, beside which CI runs the tests that need them
OF_RECIPES = {"mlflow", "skrub", "tensorboard", "tensorboardX"}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where every optional package is installed, a skip for a missing one is a failure."""
    outcome = yield
    report = outcome.get_result()
    missing = re.search(r"could not import '(\w+)", str(report.longrepr)) if report.skipped else None
    if os.environ.get("SKBACKPROP_NO_SKIPS") and missing and missing[1] not in OF_RECIPES:
        report.outcome = "failed"
