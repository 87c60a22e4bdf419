"""Recipes of the data that test_fuzz.py draws: they print short, and are made when needed."""

import contextlib
import tempfile
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp

# -------------------------------------------------------------------------------------- inputs ----


def _with(A, value):
    A = A.copy()
    A.reshape(-1)[-1:] = value
    return A


NUMBERS = {  # rng, normal numbers -> numbers
    "normal": lambda rng, A: A,
    "small integers": lambda rng, A: np.round(A),
    "zeros and ones": lambda rng, A: (A > 0).astype(float),
    "constant": lambda rng, A: np.ones_like(A),
    "mostly zero": lambda rng, A: A * (rng.random(A.shape) < 0.3),
    "zero": lambda rng, A: 0.0 * A,
    "1e6": lambda rng, A: 1e6 * A,
    "float32's end": lambda rng, A: np.sign(A) * 3e38,
    "beyond float32": lambda rng, A: 1e100 * A,
    "float64's end": lambda rng, A: np.sign(A) * 1.7e308,
    "float32's denormals": lambda rng, A: 1e-42 * A,
    "denormals": lambda rng, A: 1e-310 * A,
    "one huge": lambda rng, A: _with(A, 1e38),
    "one NaN": lambda rng, A: _with(A, np.nan),
    "one infinity": lambda rng, A: _with(A, -np.inf),
}


def _csr(A, index=np.int32, matrix=sp.csr_array):
    X = matrix(np.atleast_2d(A))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def _spoiled(form, part, value):
    """A sparse matrix with a wrong number in one of its arrays: with None one is missing, with inf one too many."""

    def make(A):
        X = form(np.atleast_2d(A) + 10.0)  # without zeros
        array = getattr(X, part) if part != "coords" else X.coords[1]
        if value is None:
            setattr(X, part, array[:-1])
        elif value == np.inf:
            setattr(X, part, np.append(array, array[-1:]))
        else:
            array[len(array) // 2 :][:1] = value
        return X

    return make


def _doubled(A):
    """Each number stored as two halves in the same place, not in order."""
    X = _csr(A)
    indices = np.concatenate([np.tile(row[::-1], 2) for row in np.split(X.indices, X.indptr[1:-1])])
    data = np.concatenate([np.tile(row[::-1] / 2, 2) for row in np.split(X.data, X.indptr[1:-1])])
    return sp.csr_array((data, indices, 2 * X.indptr), shape=X.shape)


def _memmap(A):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype=A.dtype, mode="w+", shape=A.shape)
    mapped[...] = A
    return mapped


def _read_only(A):
    A = A.copy()
    A.setflags(write=False)
    return A


def _frame(A):
    return pd.DataFrame(A, columns=[f"c{j}" for j in range(A.shape[1])])


def _cast(dtype):
    return lambda A: A.astype(dtype)


SAME = {  # ways to hold the same float64 numbers, which must give the same answers
    "list": lambda A: A.tolist(),
    "Fortran": np.asfortranarray,
    "strided": lambda A: np.repeat(A, 2, axis=0)[::2],
    "reversed": lambda A: A[::-1].copy()[::-1],
    "read-only": _read_only,
    "big-endian": _cast(">f8"),
    "object": _cast(object),
    "memmap": _memmap,
    "pandas": _frame,
    "polars": lambda A: pl.DataFrame(A, schema=[f"c{j}" for j in range(A.shape[1])]),
}
SPARSE = {  # the same, but for rounding
    "CSR": _csr,
    "CSR matrix": lambda A: _csr(A, matrix=sp.csr_matrix),
    "CSR, int64": lambda A: _csr(A, np.int64),
    "CSR, doubled": _doubled,
    "CSC": sp.csc_array,
    "COO": sp.coo_array,
    "LIL": sp.lil_matrix,
    "DOK": sp.dok_array,
    "BSR": sp.bsr_array,
}
OTHER = {  # other numbers, or none
    "float32": _cast(np.float32),
    "float16": _cast(np.float16),
    "longdouble": _cast(np.longdouble),
    "int8": _cast(np.int8),
    "uint64": _cast(np.uint64),
    "bool": _cast(bool),
    "complex": _cast(complex),
    "text": _cast(str),
    "datetime": lambda A: A.astype("datetime64[s]"),
    "masked": np.ma.masked_invalid,
    "matrix": lambda A: np.matrix(np.atleast_2d(A)),
    "nullable": lambda A: _frame(A).astype("Float64"),
    "mixed frame": lambda A: _frame(A).assign(extra=[True] * len(A), less=np.arange(len(A), dtype=np.int8)),
    "renamed frame": lambda A: _frame(A).add_prefix("other "),
    "float32 CSR": lambda A: _csr(A.astype(np.float32)),
    "integer CSR": lambda A: _csr(np.nan_to_num(A).astype(np.int64)),
    "explicit zeros": lambda A: (_csr(A + 1e-3) * 0.0),
    "1-D": np.ravel,
    "3-D": lambda A: A[:, :, None],
    "scalar": lambda A: 1.0,
    "nothing": lambda A: None,
}  # fmt: skip
MALFORMED = {
    f"{form.__name__}, {part} {value}": _spoiled(form, part, value)
    for form in (sp.csr_array, sp.csr_matrix, sp.csc_array, sp.bsr_array)
    for part, values in {"indices": (-3, 2**30, None), "indptr": (-3, 2**30, None, np.inf), "data": (None,)}.items()
    for value in values
} | {f"coo_array, coords {value}": _spoiled(sp.coo_array, "coords", value) for value in (-3, 2**30)}


FORMS = {"array": lambda A: A} | SAME | SPARSE | OTHER | MALFORMED


@dataclass(frozen=True)
class Inputs:
    """Recipe of an X."""

    rows: int
    columns: int
    numbers: str = "normal"
    form: str = "array"
    seed: int = 0

    def plain(self):
        """The numbers, before they take their form."""
        rng = np.random.default_rng(self.seed)
        return NUMBERS[self.numbers](rng, rng.normal(size=(self.rows, self.columns)))

    def make(self):
        with np.errstate(all="ignore"), contextlib.suppress(ValueError):  # a form that cannot hold them
            return FORMS[self.form](self.plain())
        return self.plain()


# ------------------------------------------------------------------------- targets and weights ----

LABELS = {  # rng, n -> labels
    "two": lambda rng, n: rng.integers(0, 2, n),
    "three": lambda rng, n: np.arange(n) % 3,
    "one": lambda rng, n: np.ones(n, int),
    "each its own": lambda rng, n: np.arange(n),
    "negative": lambda rng, n: rng.integers(-1, 1, n) * 2 + 1,
    "texts": lambda rng, n: np.array(["a", "b", "long text"])[rng.integers(0, 3, n)],
    "objects": lambda rng, n: np.array(["a", "b"], object)[rng.integers(0, 2, n)],
    "mixed objects": lambda rng, n: np.array(["a", 1, None], object)[rng.integers(0, 3, n)],
    "bools": lambda rng, n: rng.random(n) < 0.5,
    "whole floats": lambda rng, n: rng.integers(0, 3, n).astype(np.float32),
    "list": lambda rng, n: rng.integers(0, 2, n).tolist(),
    "column": lambda rng, n: rng.integers(0, 2, (n, 1)),
    "Series": lambda rng, n: pd.Series(rng.integers(0, 2, n), index=np.arange(n)[::-1]),
    "categorical": lambda rng, n: pd.Series(pd.Categorical(np.array(["u", "v"])[rng.integers(0, 2, n)])),
    "nullable": lambda rng, n: pd.Series(rng.integers(0, 2, n), dtype="Int64"),
    "missing": lambda rng, n: pd.Series([*rng.integers(0, 2, n - 1), pd.NA][:n], dtype="Int64") if n else [],
    "multilabel": lambda rng, n: rng.integers(0, 2, (n, 2)),
    "multilabel, bools": lambda rng, n: rng.integers(0, 2, (n, 3)).astype(bool),
    "multilabel, sparse": lambda rng, n: sp.csr_matrix(rng.integers(0, 2, (n, 2))),
    "multilabel, -1 and 1": lambda rng, n: rng.integers(0, 2, (n, 2)) * 2 - 1,
    "multilabel, 0 and 2": lambda rng, n: rng.integers(0, 2, (n, 2)) * 2.0,
    "multilabel, malformed": lambda rng, n: MALFORMED["csr_matrix, indices 1073741824"](np.ones((n, 2))),
    "many values in columns": lambda rng, n: rng.integers(0, 4, (n, 2)),
}
TARGETS = {  # rng, n -> numbers
    "normal": lambda rng, n: rng.normal(size=n),
    "positive": lambda rng, n: rng.exponential(size=n) + 1e-3,
    "two columns": lambda rng, n: rng.exponential(size=(n, 2)) + 1e-3,
    "float32 column": lambda rng, n: rng.normal(size=(n, 1)).astype(np.float32),
    "counts": lambda rng, n: rng.poisson(2.0, n),
    "constant": lambda rng, n: np.full(n, 7.0),
    "zeros": lambda rng, n: np.zeros(n),
    "far from zero": lambda rng, n: 1.7e9 + rng.normal(size=n),
    "huge": lambda rng, n: 1e300 * rng.normal(size=n),
    "largest": lambda rng, n: np.full(n, 1.7e308),
    "beyond float32": lambda rng, n: 1e45 * rng.random(n),
    "tiny": lambda rng, n: 1e-310 * rng.random(n),
    "tiny and huge": lambda rng, n: 10.0 ** rng.integers(-300, 300, n),
    "float16": lambda rng, n: rng.normal(size=n).astype(np.float16),
    "objects": lambda rng, n: rng.normal(size=n).astype(object),
    "None": lambda rng, n: np.array([1.5, 2.5, None], object)[rng.integers(0, 3, n)],
    "NaN": lambda rng, n: _with(rng.normal(size=n), np.nan),
    "infinity": lambda rng, n: _with(rng.normal(size=n), np.inf),
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
    "frame": lambda rng, n: pd.DataFrame(rng.normal(size=(n, 2))),
    "polars": lambda rng, n: pl.Series(rng.normal(size=n)),
    "sparse": lambda rng, n: sp.csr_matrix(rng.normal(size=(n, 1))),
    "3-D": lambda rng, n: rng.normal(size=(n, 2, 2)),
    "no columns": lambda rng, n: np.zeros((n, 0)),
    "scalar": lambda rng, n: 1.0,
    "nothing": lambda rng, n: None,
}
WEIGHTS = {
    "none": lambda rng, n: None,
    "random": lambda rng, n: rng.random(n),
    "ones": lambda rng, n: np.ones(n, np.float32),
    "integers": lambda rng, n: rng.integers(0, 3, n),
    "bools": lambda rng, n: rng.random(n) < 0.7,
    "list": lambda rng, n: rng.random(n).tolist(),
    "one number": lambda rng, n: 2.0,
    "mostly zero": lambda rng, n: (np.arange(n) == 0).astype(float),
    "zeros": lambda rng, n: np.zeros(n),
    "denormal": lambda rng, n: 1e-310 * (1.0 + rng.random(n)),
    "tiny": lambda rng, n: 1e-43 * rng.random(n),
    "huge": lambda rng, n: 1e39 * rng.random(n),
    "largest": lambda rng, n: np.full(n, 1.7e308),
    "tiny and huge": lambda rng, n: 10.0 ** rng.integers(-300, 300, n),
    "negative": lambda rng, n: rng.normal(size=n),
    "NaN": lambda rng, n: _with(rng.random(n), np.nan),
    "infinity": lambda rng, n: _with(rng.random(n), np.inf),
    "texts": lambda rng, n: np.full(n, "heavy"),
    "column": lambda rng, n: rng.random((n, 1)),
    "Series": lambda rng, n: pd.Series(rng.random(n)),
}
PER_ROW = LABELS | {f"numbers: {name}": make for name, make in TARGETS.items()}
PER_ROW |= {f"weights: {name}": make for name, make in WEIGHTS.items()}


@dataclass(frozen=True)
class Vector:
    """Recipe of targets or weights."""

    kind: str
    rows: int
    seed: int = 0

    def make(self):
        with np.errstate(all="ignore"):
            return PER_ROW[self.kind](np.random.default_rng(self.seed), self.rows)


# -------------------------------------------------------------------------------------- tables ----

CELLS = {  # rng, n -> a column of a table
    "floats": lambda rng, n: rng.normal(size=n),
    "floats with gaps": lambda rng, n: _with(rng.normal(size=n), np.nan),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "integers": lambda rng, n: rng.integers(-2, 3, n),
    "two integers": lambda rng, n: rng.integers(0, 2, n),
    "uint8": lambda rng, n: rng.integers(0, 9, n).astype(np.uint8),
    "nullable integers": lambda rng, n: pd.array([pd.NA, *rng.integers(0, 3, n - 1)], "Int64"),
    "bools": lambda rng, n: rng.random(n) < 0.5,
    "nullable bools": lambda rng, n: pd.array([pd.NA, *(rng.random(n - 1) < 0.5)], "boolean"),
    "object bools": lambda rng, n: (rng.random(n) < 0.5).astype(object),
    "texts": lambda rng, n: np.array(["a", "b", "c"], object)[rng.integers(0, 3, n)],
    "texts with gaps": lambda rng, n: np.array(["a", "b", None, np.nan], object)[rng.integers(0, 4, n)],
    "numbers as texts": lambda rng, n: rng.integers(0, 5, n).astype(str).astype(object),
    "mixed": lambda rng, n: np.array(["a", 1, 1.5, None, True], object)[rng.integers(0, 5, n)],
    "categories": lambda rng, n: pd.Categorical(np.array(["S", "M"])[rng.integers(0, 2, n)], ["S", "M", "L"]),
    "integer categories": lambda rng, n: pd.Categorical(rng.integers(0, 2, n)),
    "many texts": lambda rng, n: np.array([f"name {i}" for i in rng.integers(0, 60, n)], object),
    "dates": lambda rng, n: pd.date_range("2020-01-01", periods=n),
    "constant": lambda rng, n: np.ones(n),
    "nothing": lambda rng, n: np.full(n, None),
    "infinite": lambda rng, n: _with(rng.normal(size=n), np.inf),
    "huge": lambda rng, n: 1e300 * rng.normal(size=n),
    "decimals": lambda rng, n: np.array([Decimal(int(v)) / 4 for v in rng.integers(0, 9, n)], object),
    "lists": lambda rng, n: pd.Series([[1, 2]] * n),
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
    "Arrow": lambda rng, n: pd.array(rng.integers(0, 9, n), "int64[pyarrow]"),
    "Arrow texts": lambda rng, n: pd.array(np.array(["x", "y"])[rng.integers(0, 2, n)].tolist(), "string[pyarrow]"),
    "sparse": lambda rng, n: pd.arrays.SparseArray(rng.integers(0, 2, n).astype(float)),
}  # fmt: skip
NAMES = {
    "names": "column {}".format,
    "numbers": int,
    "twice the same": lambda j: f"c{j // 2}",
    "mixed": lambda j: [j, "a"][j % 2],
}


@dataclass(frozen=True)
class Table:
    """Recipe of a DataFrame."""

    kinds: tuple[str, ...]
    rows: int
    names: str = "names"
    seed: int = 0

    def make(self):
        rng = np.random.default_rng(self.seed)
        cells = [pd.Series(CELLS[kind](rng, self.rows)) for kind in self.kinds]
        table = pd.concat(cells, axis=1) if cells else pd.DataFrame(index=range(self.rows))
        table.columns = [NAMES[self.names](j) for j in range(len(cells))]
        return table
