"""The script that holds the site's pages to what readers need, and what the pages are given. CI runs it over them."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

if not (ROOT / ".ci" / "site.py").exists():  # wheels are tested without it
    pytest.skip("the script is not there", allow_module_level=True)


def load(path):
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site():
    return load(ROOT / ".ci" / "site.py")


DESCRIBED = '<meta name="description" content="What the page is about.">'


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<script src="https://cdn.example.org/mathjax.js"></script>', "loads https://cdn.example.org/mathjax.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "loads //fonts.example.org/a.css"),
        ('<link rel="preload icon" href="HTTP://example.org/a">', "loads HTTP://example.org/a"),
        ('<img src="https://example.org/badge.svg" alt="badge">', "loads https://example.org/badge.svg"),
        (
            '<img src="a.svg" srcset="a.svg 1x, https://example.org/b.svg 2x" alt="a">',
            "loads https://example.org/b.svg",
        ),
        ('<style>@import "https://example.org/a.css";</style>', "loads https://example.org/a.css"),
        ('<img src="a.svg">', "no text for the image a.svg"),
        ('<img src="a.svg" alt=" ">', "no text for the image a.svg"),
    ],
)
def test_faults_of_a_page(site, html, fault):
    assert site.Page(DESCRIBED + html).faults == [fault]


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://scikit-learn.org">a link is no load</a>',
        '<link rel="canonical" href="https://example.org/page">',
        '<script src="_static/mathjax/tex-chtml.js"></script><img src="data:image/png;base64,AA" alt="a dot">',
    ],
)
def test_nothing_wrong(site, html):
    assert site.Page(DESCRIBED + html).faults == []


def test_a_page_without_a_description(site):
    assert site.Page("<p>text</p>").faults == ["no description"]


def test_a_folder_of_pages(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(site, "BROWSERS", ())
    (tmp_path / "_static").mkdir()
    (tmp_path / "index.html").write_text(DESCRIBED)
    (tmp_path / "_static" / "template.html").write_text("<img src=x>")  # no page
    monkeypatch.setattr("sys.argv", ["site.py", str(tmp_path)])
    assert site.main() == 0
    assert "Skipped" in capsys.readouterr().out
    (tmp_path / "_static" / "site.css").write_text("@font-face { src: url('https://example.org/font.woff2') }")
    assert site.main() == 1
    assert "_static/site.css: loads https://example.org/font.woff2" in capsys.readouterr().out


def test_pages_without_a_network_have_no_inventories(tmp_path, monkeypatch):
    inventories = load(ROOT / "docs" / "_make" / "inventories.py")
    far, near = tmp_path / "far", tmp_path / "near"
    near.mkdir()
    (near / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n")
    monkeypatch.setattr(inventories, "SITES", {"far": f"{far.as_uri()}/", "near": f"{near.as_uri()}/"})
    made = tmp_path / "made"
    made.mkdir()
    expected = {"near": (f"{near.as_uri()}/", str(made / "near.inv"))}
    assert inventories.fetch_inventories(made) == expected
    (near / "objects.inv").write_bytes(b"<html>Sign in</html>")  # the one that was fetched before stays
    assert inventories.fetch_inventories(made) == expected
    assert (made / "near.inv").read_bytes() == b"# Sphinx inventory version 2\n"
