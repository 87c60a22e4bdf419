"""The documentation's settings. What it shows of the package is made anew from the package: see _make."""

import pathlib
import sys

import matplotlib
from sphinx_gallery.sorting import ExplicitOrder

here = pathlib.Path(__file__).parent
# "python -m sphinx" looks into the current folder first, where only the sources of the package are
sys.path[:] = [path for path in sys.path if pathlib.Path(path).resolve() != here.parent.resolve()]
import skbackprop

sys.path.insert(0, str(here))
from _make.api import check_api
from _make.architecture import draw_architecture
from _make.components import write_components
from _make.derivation import draw_derivation
from _make.headlines import write_headlines
from _make.html import describe, name_thumbnails, typeset
from _make.inventories import fetch_inventories
from _make.pictures import draw_losses, write_diagram
from _make.pointers import check_pointers
from _make.results import (
    write_accuracy,
    write_costs,
    write_efforts,
    write_precision,
    write_results,
    write_rounding,
    write_tables,
)
from _make.scaling import draw_scaling, write_rounds, write_scaling

matplotlib.use("Agg")
project = "skbackprop"
copyright = "the skbackprop developers"
version = release = skbackprop.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_make", "_templates", "gallery/*/GALLERY_HEADER.rst"]
nitpicky = True  # a reference that leads nowhere fails the build
# other packages' names are for their own pages
nitpick_ignore_regex = [("py:.*", r"(sklearn|threadpoolctl|numpy|scipy|pandas|torch)\b.*")]
html_title = project
html_theme = "pydata_sphinx_theme"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css", "derivation.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "text": project,
        "alt_text": "A network of dots",
    },
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    page: []
    for page in (
        "index",
        "quick_start",
        "components",
        "derivation",
        "extend",
        "architecture",
        "migrating",
        "benchmarks",
        "changelog",
    )
}
html_show_sourcelink = False
default_role = "literal"  # single backquotes, which numpydoc has for the names of parameters
viewcode_line_numbers = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Every public name must be documented, every parameter described, none described that does not exist
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR07", "RT03"}
toc_object_entries_show_parents = "hide"
numpydoc_validation_exclude = {r"\.dask\..*\.partial_fit$"}  # which is there to say that it is not
autodoc_typehints = "none"  # numpydoc's parameters say it in words
autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseEstimator",
    "exclude-members": "set_partial_fit_request, set_predict_request, set_predict_proba_request, "
    "set_score_request, get_metadata_routing, args, add_note, with_traceback",
}
suppress_warnings = [
    "ref.ref",  # inherited docstrings refer to labels of scikit-learn's own documentation
    "ref.term",
    "myst.header",  # the changelog is included below a title
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",  # scripts for the command line
    "subsection_order": ExplicitOrder(
        ["../examples/understanding", "../examples/training", "../examples/applications"]
    ),
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/examples",
    "doc_module": ("skbackprop",),
    "reference_url": {"skbackprop": None},
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "write_computation_times": False,  # a page that loads its table's scripts from elsewhere
    "remove_config_comments": True,
    "download_all_examples": False,
}

made = here / "made"
made.mkdir(exist_ok=True)
intersphinx_mapping = fetch_inventories(made)
check_api(here / "api.rst")
write_components(made)
write_results(made)
write_rounding(made)
write_accuracy(made)
write_tables(made)
write_efforts(made)
write_precision(made)
write_costs(made)
write_headlines(made)
draw_losses(made)
write_diagram(made)
draw_derivation(made)
draw_architecture(made)
write_scaling(made)
write_rounds(made)
draw_scaling(made)
for page in ("derivation.rst", "extend.rst", "architecture.rst"):
    check_pointers(here / page)


def setup(app):
    app.connect("autodoc-process-docstring", typeset)
    app.connect("doctree-resolved", name_thumbnails)
    app.connect("html-page-context", describe)
