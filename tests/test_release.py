"""What a release consists of beside the package: versions that agree, and a README for a page without neighbours."""

import doctest
import importlib.util
import pathlib
import re
import tomllib

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
    assert re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE) == [skbackprop.__version__]


def test_every_python_that_is_built_is_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = re.findall(r"cp3(\d+)-", settings["tool"]["cibuildwheel"]["build"])
    declared = re.findall(r"Python :: 3\.(\d+)", "\n".join(settings["project"]["classifiers"]))
    assert built == declared
    assert settings["project"]["requires-python"] == f">=3.{built[0]}"


def test_the_oldest_versions_are_said_as_they_are_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "compatibility.rst").read_text()
    said = {name.lower(): version for name, version in re.findall(r"\* - ([\w-]+)\n     - ([\d.]+) and newer", page)}
    declared = dict(dependency.split(">=") for dependency in settings["dependencies"])
    assert said == {"cpython": settings["requires-python"].removeprefix(">="), **declared}


def load_script():
    spec = importlib.util.spec_from_file_location("absolute_links", ROOT / ".github" / "absolute_links.py")
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
