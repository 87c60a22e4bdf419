"""Measured numbers in the README and the pages come from files in benchmarks/results, and are not typed into prose."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.rst")), *sorted((ROOT / "examples").rglob("*.py"))]
PAGES = [path for path in PAGES if not {"made", "gallery", "_build"} & set(path.parts)]
MEASURE = r"\d ?(?:%|s|ms|µs|times|seconds|minutes|megabytes|[MG]i?B|GFLOP/s)(?![\w-])"
MEANT = {  # what such words say beside measurements: levels, limits, parts of formulas, suppositions
    "README.md": ["Nemenyi test at 5 %"],
    "docs/benchmarks.rst": ["intervals at 90 %", "for the 5 % and 95 % quantiles", "plus 20 times what"],
    "docs/extend.rst": ["within 3 %"],
    "docs/index.rst": ["Nemenyi test at 5 %"],
    "docs/migrating.rst": ["10,000 times for a target with a standard deviation of 100"],
    "docs/quick_start.rst": ["between the 5 % and the 95 % quantile"],
    "docs/user_guide/dask.rst": ["30 s; the setting of the client"],
    "docs/user_guide/imbalance.rst": ["if one class has 95 %"],
    "docs/user_guide/optimisation.rst": ["rises from 4 % during the first 30 % of training"],
    "docs/user_guide/out_of_core.rst": ["seldom has more than 55 % of a buffer", "arrays above 1 MB"],
    "docs/user_guide/regression.rst": ["is a 90 % interval"],
    "docs/user_guide/scaling.rst": ["for an efficiency of 50 %"],
    "docs/user_guide/tables.rst": ["at most 5 % of the distinct values"],
    "docs/user_guide/troubleshooting.rst": ["If 95 % of the rows", "an accuracy of 95 %", "a 95 % quantile"],
    "examples/understanding/plot_double_descent.py": ["images of digits, 30 % of them"],
}


def prose(path):
    """The text of a page without code, tables' cells of literals, directives and their options."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return "\n".join(re.findall(r"^# (.*)", text, re.MULTILINE) + re.findall(r'^"""(.*?)"""', text, re.DOTALL))
    text = re.sub(r"``.*?``|`[^`\n]*`", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    directive = r"^( *)\.\. (?:code-block|csv-table|image|figure|raw)::.*\n(?:\1 +.*\n|\n)*"
    text = re.sub(directive, "", text, flags=re.MULTILINE)
    return re.sub(r"^ +(?:>>>|\.\.\.|:width:).*\n", "", text, flags=re.MULTILINE)


def test_the_readme_says_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    headlines = pytest.importorskip("headlines")
    draw = headlines.draw
    text = headlines.README.read_text(encoding="utf-8")
    assert headlines.updated(text) == text  # else: python benchmarks/headlines.py
    assert draw.as_text(draw.speed_ratios(draw.RESULTS)) in draw.README_PICTURE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="0 places like 'On "):
        headlines.updated(text.replace("public tables", "tables"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_measurement_is_typed_into_prose(path):
    text = " ".join(prose(path).split())
    text = re.sub(r"scikit-learn takes \S+ to \S+ times", "", text)  # which the test above compares with its file
    for phrase in MEANT.get(str(path.relative_to(ROOT)), []):
        assert phrase in text
        text = text.replace(phrase, "")
    assert [text[max(match.start() - 60, 0) : match.end() + 20] for match in re.finditer(MEASURE, text)] == []
