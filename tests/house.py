"""Modules of the package, their layers and imports, from the sources; for the tests and the documentation."""

import ast
import pathlib
from functools import cache

import skbackprop

ROOT = pathlib.Path(skbackprop.__file__).parent
ROOMS = sorted(path for path in ROOT.rglob("*.py") if "kernels" not in path.parts)
# from the lowest layer up; modules in no package are the public API, and `_checks`, `_interop`, `_dask` are beside it
FLOORS = {"vocabulary": ["_types", "_nn"], "arithmetic": ["_engines"], "fitting": ["_fit"]}
FACE = {"public API": [""], "beside the public API": ["_checks", "_interop", "_dask"]}


def name_of(path):
    """Path below the package."""
    return path.relative_to(ROOT).as_posix()


def module_of(path):
    """Dotted name of a module."""
    return ".".join(["skbackprop", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


@cache
def nodes(path):
    """All nodes of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path):
    """Pairs of (module, name) that a file imports; those inside functions count too."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return found


def floor(parts):
    """Number of the layer of a module, from the parts of its name below the package."""
    numbers = {package: number for number, packages in enumerate(FLOORS.values()) for package in packages}
    return numbers.get(parts[0].removesuffix(".py"), len(FLOORS)) if parts else len(FLOORS)


def graph():
    """The modules that each module imports."""
    rooms = {module_of(path): path for path in ROOMS}
    return {
        room: {name if (name := f"{module}.{part}") in rooms else module for module, part in imports(path)} & set(rooms)
        for room, path in rooms.items()
    }


def is_below_the_face(path):
    """Tell whether a module must not use estimators."""
    package = path.relative_to(ROOT).parts[0]
    return floor([package]) < len(FLOORS) or package == "_dask"
