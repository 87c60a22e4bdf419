"""The version of this package; pyproject.toml, meson.build and CITATION.cff have the same."""

__version__ = "0.2.0"
