"""A public name that the API page leaves out fails the build."""

import importlib
import pkgutil
import re

import skbackprop


def public_names():
    """What the package and its public modules export, as written in the API page."""
    modules = [m.name for m in pkgutil.iter_modules(skbackprop.__path__) if not m.name.startswith("_")]
    names = {name for name in skbackprop.__all__ if not name.startswith("__")}
    for module in modules:
        names |= {f"{module}.{name}" for name in importlib.import_module(f"skbackprop.{module}").__all__}
    # what the package exports under its own name is documented there alone
    return {name for name in names if name.partition(".")[2] not in skbackprop.__all__}


def check_api(page):
    listed = set(re.findall(r"^   ([\w.]+)$", page.read_text(), re.MULTILINE))
    if listed != public_names():
        raise RuntimeError(
            f"{page.name} leaves out {sorted(public_names() - listed)} "
            f"and lists what is not public: {sorted(listed - public_names())}"
        )
