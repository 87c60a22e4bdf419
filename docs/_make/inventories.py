"""Inventories of other projects, for links to their pages; without a network there are no such links."""

import urllib.request

SITES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "pandas": "https://pandas.pydata.org/docs/",
    "sklearn": "https://scikit-learn.org/stable/",
}
SECONDS = 5


def fetch_inventories(folder):
    """Settings for intersphinx: of the inventories that can be fetched, or were before."""
    mapping = {}
    for name, site in SITES.items():
        path = folder / f"{name}.inv"
        try:
            with urllib.request.urlopen(f"{site}objects.inv", timeout=SECONDS) as answer:
                content = answer.read()
            if not content.startswith(b"# Sphinx inventory version 2"):  # a proxy's page, say
                raise OSError("no inventory")
            path.write_bytes(content)
        except OSError as error:
            print(f"No inventory of {site}: {error}")
        if path.exists():
            mapping[name] = (site, str(path))
    return mapping
