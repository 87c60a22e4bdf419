"""What a release consists of beside the package: versions that agree, a README for a page without neighbours, pins."""

import doctest
import importlib.util
import pathlib
import re
import tomllib
import zipfile

import pytest

import skbackprop

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+)"$'),
        ("meson.build", r"version: '([^']+)', license"),
        ("CITATION.cff", r"^version: (.+)$"),
    ],
)
def test_the_version_is_the_same_everywhere(name, pattern):
    assert re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE) == [skbackprop.__version__]


def test_every_python_that_is_built_is_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    built = re.findall(r"cp3(\d+)-", settings["tool"]["cibuildwheel"]["build"])
    declared = re.findall(r"Python :: 3\.(\d+)", "\n".join(settings["project"]["classifiers"]))
    assert built == declared
    assert settings["project"]["requires-python"] == f">=3.{built[0]}"


def test_the_oldest_versions_are_said_as_they_are_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "compatibility.rst").read_text(encoding="utf-8")
    said = {name.lower(): version for name, version in re.findall(r"\* - ([\w-]+)\n     - ([\d.]+) and newer", page)}
    declared = dict(dependency.split(">=") for dependency in settings["dependencies"])
    assert said == {"cpython": settings["requires-python"].removeprefix(">="), **declared}


def load_script(path=".github/absolute_links.py"):
    if not (ROOT / path).exists():
        pytest.skip("wheels are tested without .ci")
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_of_absolute_links():
    results = doctest.testmod(load_script())
    assert results.attempted > 5
    assert results.failed == 0


def test_no_link_of_the_readme_stays_relative():
    text = load_script().rewrite((ROOT / "README.md").read_text(encoding="utf-8"), "https://host/o/r", "v1")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^\s()]+)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    assert [target for target in targets if not re.match("https?://|#|mailto:", target)] == []
    repository = "https://host/o/r/"
    for target in targets:
        if target.startswith(repository):
            path = target.removeprefix(repository).split("/", 2)[2].split("#")[0]
            assert (ROOT / path).exists() or not (ROOT / ".git").exists(), f"README.md links to {path}"


def test_actions_are_pinned_by_commit():
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
        assert used
        assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_the_builds_are_pinned():
    packaging = pytest.importorskip("packaging.requirements")
    pins = {}
    for name in ("build", "release"):
        path = ROOT / ".ci" / f"{name}.txt"
        if not path.exists():
            pytest.skip("wheels are tested without .ci")
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
        assert all(re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in lines)
        pins[name] = dict(line.split()[0].split("==") for line in lines)
    assert pins["build"].items() <= pins["release"].items()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in map(packaging.Requirement, settings["build-system"]["requires"]):
        assert requirement.specifier.contains(pins["build"][requirement.name])


GOOD = {
    "skbackprop/__init__.py": "",
    "skbackprop/py.typed": "",
    "skbackprop/_nn/losses.py": "",
    "skbackprop/_engines/_cpu.pyi": "",
    "skbackprop/_engines/_cpu.abi3.so": "kernels.c /proc/self",
    "skbackprop-1.0.dist-info/METADATA": "License-Expression: BSD-3-Clause\n\n[a](https://a) [b](#b)\n",
    "skbackprop-1.0.dist-info/WHEEL": "",
    "skbackprop-1.0.dist-info/RECORD": "",
    "skbackprop-1.0.dist-info/licenses/LICENSE": "",
}


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ({}, []),
        ({"skbackprop/py.typed": None}, ["lacks skbackprop/py.typed"]),
        ({"skbackprop-1.0.dist-info/licenses/LICENSE": None}, ["lacks skbackprop-1.0.dist-info/licenses/LICENSE"]),
        ({"tests/golden/a.py": ""}, ["holds tests/golden/a.py"]),
        ({"skbackprop/data.npy": ""}, ["holds skbackprop/data.npy"]),
        ({"skbackprop/_engines/_cpu.pyd": ""}, ["has 2 extension modules"]),
        (
            {"skbackprop/_engines/_cpu.abi3.so": "\0/tmp/build-1/pool.c\0"},
            ["skbackprop/_engines/_cpu.abi3.so tells /tmp/build-1/pool.c"],
        ),
        (
            {"skbackprop/_engines/_cpu.abi3.so": "D:\\work\\_cpu.pdb"},
            ["skbackprop/_engines/_cpu.abi3.so tells \\work\\_cpu.pdb"],
        ),
        (
            {"skbackprop-1.0.dist-info/METADATA": "License-Expression: MIT\n\n[a](docs/a.rst)"},
            ["the index's page has a link to docs/a.rst", "its licence is MIT"],
        ),
    ],
)
def test_faults_of_a_wheel(files, faults, tmp_path):
    wheel = load_script(".ci/wheel.py")
    path = tmp_path / "skbackprop-1.0-cp311-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**GOOD, **files}.items():
            if text is not None:
                archive.writestr(name, text)
    assert wheel.faults_of(path) == faults
    (untagged,) = wheel.faults_of(path.rename(tmp_path / "skbackprop-1.0-cp311-abi3-linux_x86_64.whl"))
    assert "no index takes" in untagged
