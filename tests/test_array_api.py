"""Arrays of torch and of array-api-strict."""

import os
import pathlib
import subprocess
import sys

import pytest

CASES = pathlib.Path(__file__).with_name("array_api_cases.py")


def test_array_api():
    """SciPy reads SCIPY_ARRAY_API when it is imported, so the cases run in a process that has it set."""
    pytest.importorskip("array_api_strict")
    pytest.importorskip("torch")
    scipy_version = pytest.importorskip("scipy").__version__
    if tuple(map(int, scipy_version.split(".")[:2])) < (1, 14):
        pytest.skip("scikit-learn dispatches with SciPy 1.14 or newer only")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(CASES)],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-10_000:] + result.stderr


def test_the_benchmark_runs():
    """On the CPU, where there is no GPU."""
    pytest.importorskip("torch")
    program = CASES.parents[1] / "benchmarks" / "gpu.py"
    command = [sys.executable, "-P", str(program), "--quick", "--repeats", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.count("ratio") == 3
