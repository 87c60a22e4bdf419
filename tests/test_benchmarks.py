"""The benchmark of large tables: what it draws, and what it makes of measurements. The docs' build draws the rest."""

import importlib.util
import pathlib

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("resource")  # which Windows lacks


@pytest.fixture(scope="module")
def tables():
    path = pathlib.Path(__file__).parents[1] / "benchmarks" / "tables.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("problem", ["friedman", "classification", "interactions"])
def test_problems_are_drawn_alike(tables, problem):
    draw, task, _ = tables.PROBLEMS[problem]
    (X, y), (again, labels) = draw(2000), draw(2000)
    assert X.shape == (2000, tables.N_COLUMNS)
    assert np.array_equal(X, again)
    assert np.array_equal(y, labels)
    assert (len(np.unique(y)) < 10) == (task == "clf")


def test_a_tenth_of_the_labels_is_flipped(tables, monkeypatch):
    _, y = tables.interactions(20_000)
    monkeypatch.setattr(tables, "FLIPPED", 0.0)
    _, clean = tables.interactions(20_000)
    assert 0.4 < clean.mean() < 0.6
    assert abs((y != clean).mean() - 0.1) < 0.01  # four standard deviations


def test_scores(tables):
    assert tables.scores("reg", np.arange(4.0), np.arange(4.0)) == {"score": 1.0}
    found = tables.scores("clf", np.array([0, 1, 1, 0]), np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [1.0, 1.0]]))
    assert found["score"] == 0.75  # of equal ones the first counts
    assert found["log_loss"] == pytest.approx(-np.log([0.75, 0.75, 0.5, 0.5]).mean())


def test_medians_in_a_table(tables):
    rows = [
        {"problem": "friedman", "rows": n, "threads": t, "repeat": r, "model": m, "seconds": r + 0.1 * t, "score": 0.9}
        for n in (100_000, 10_000)
        for t in (1, 2)
        for r in range(3)
        for m in ("LightGBM", "tabular_pipeline")
    ]
    frame = pd.DataFrame(rows, columns=tables.FIELDS)
    summary = tables.summarise(frame, "friedman")
    assert summary.index.tolist() == [
        (10_000, "tabular_pipeline"),
        (10_000, "LightGBM"),
        (100_000, "tabular_pipeline"),
        (100_000, "LightGBM"),
    ]
    assert summary["seconds, one thread"].tolist() == [1.1] * 4
    assert summary["seconds, two threads"].tolist() == [1.2] * 4
    assert "log loss" not in summary
    text = tables.as_rst("Friedman", summary)
    assert "   * - 100,000\n     - tabular_pipeline\n     - 0.9000\n     - 1.1\n" in text


@pytest.fixture
def halves(monkeypatch):
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parents[1] / "benchmarks"))
    return pytest.importorskip("halves")


def test_each_half_reports_what_the_other_chose(halves):
    scores = pd.DataFrame({"default": [0.9, 0.5, 0.9, 0.5], "other": [0.8, 0.7, 0.8, 0.7]}, index=list("abcd"))
    assert halves.halves("dcab") == (["a", "c"], ["b", "d"])
    choices, crossed = halves.cross(scores)
    assert choices == ("default", "other")
    assert crossed.to_dict() == {"a": 0.8, "b": 0.5, "c": 0.8, "d": 0.5}


def test_changes_of_the_error_beside_the_default(halves):
    rows = [
        {"set": name, "task": "clf", "setting": setting, "split": split, "accuracy": 1.0 - error, "r2": np.nan}
        for name, least in (("a", 0.1), ("b", 0.2))
        for setting, error in (("default", least), ("decay 2", least * (2.0 if name == "a" else 4.0)))
        for split in range(2)
    ]
    mean, error = halves.changes(pd.DataFrame(rows))
    assert mean["clf", "decay 2"] == pytest.approx(np.log([2.0, 4.0]).mean())
    assert error["clf", "decay 2"] == pytest.approx(np.log(2.0) / 2.0)  # of two values log 2 apart
    assert mean["clf", "default"] == 0.0


def test_records_and_ranks(halves):
    table = pd.DataFrame({name: [0.9, 0.8, 0.7] for name in [halves.OURS, *halves.PEERS]})
    table["sklearn MLP"] = [0.8, 0.801, 0.8]
    columns, [row] = halves.records([("reg", ("default", "default"), table)])
    found = dict(zip(columns, row, strict=True))
    assert found["wins / ties / losses"] == "regression"
    assert found["against sklearn MLP"] == "1 / 1 / 1"
    assert found["against RealMLP-TD-S"] == "0 / 3 / 0"
    assert found["mean ranks"].startswith("sklearn MLP 2.00, ")  # 4, 1 and 1
    assert f"{halves.OURS} 2.67" in found["mean ranks"]  # 2, 3 and 3
