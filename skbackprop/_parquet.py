"""Reading Parquet files by row groups; only this module needs pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from skbackprop._readers import (
    CATEGORY,
    NUMBER,
    TEXT,
    CodedColumn,
    Source,
    TargetedColumns,
    Targets,
    numbers_of,
    weights_of,
)
from skbackprop._values import text_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame

INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")  # names of an index written by pandas and Dask


def _pyarrow() -> ModuleType:
    """Import pyarrow, or raise an error that says how to install it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Reading Parquet files needs pyarrow: pip install 'skbackprop[parquet]'.") from error
    return pyarrow


def _opened(path: Source) -> pa.parquet.ParquetFile:
    try:
        return _pyarrow().parquet.ParquetFile(str(path))
    except ValueError as error:  # of pyarrow, which does not name the file
        raise ValueError(f"{str(path)!r} is not a Parquet file: {error}") from error


def _listed(given: object, name: str, form: str = "a list of names of columns") -> list[str]:
    """Names of columns, each once."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else []
    if not (names and all(isinstance(one, str) for one in names)):
        raise ValueError(f"For Parquet files {name} must be {form}, got {given!r:.80}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{name} names a column twice: {names}.")
    return names


def index_columns(paths: Iterable[Source]) -> set[str]:
    """Columns of Parquet files that were the index of a DataFrame in any of the files."""
    found: set[str] = set()
    for path in paths:
        with _opened(path) as file:
            schema = file.schema_arrow
        # an index that counts the rows is stored as a dict, without a column
        listed = (schema.pandas_metadata or {}).get("index_columns", [])
        found.update(name for name in listed if isinstance(name, str))
        found.update(name for name in schema.names if INDEX.fullmatch(name))
    return found


class ParquetShard:
    """Columns of a Parquet file. A block is a row group, which can only be read as a whole.

    The default features are all columns except y, the weights and the index.
    """

    def __init__(
        self,
        path: Source,
        y: str | list[str] | None,
        weights: str | None,
        features: Iterable[str] | None,
        index: Iterable[str] = (),
    ):
        self._pa = _pyarrow()
        self.path = str(path)
        with _opened(path) as file:
            schema, self._metadata = file.schema_arrow, file.metadata
        if y is not None:
            y = y if isinstance(y, str) else _listed(y, "y", "the name of a column, or a list of names")
        if not isinstance(weights, str | None):
            raise ValueError(f"For Parquet files sample_weight must be the name of a column, got {weights!r:.80}.")
        self._y = [y] if isinstance(y, str) else y
        self._y_is_1d, self._weights = isinstance(y, str), weights
        self.target_shape = None if self._y is None else () if self._y_is_1d else (len(self._y),)
        self._apart = apart = list(dict.fromkeys([*(self._y or []), *([] if weights is None else [weights])]))
        if features is None:
            features = [name for name in schema.names if name not in apart and name not in index]
        else:
            features = _listed(features, "features")
        self.names = features
        missing = [name for name in [*self.names, *apart] if name not in schema.names]
        if missing:
            raise ValueError(f"{self.path!r} has no columns {missing}; it has {schema.names}.")
        types = {name: schema.field(name).type for name in self.names}
        self.kinds = [self._kind(kind) for kind in types.values()]
        odd = [f"{name} ({types[name]})" for name, kind in zip(self.names, self.kinds, strict=True) if not kind]
        if odd:
            raise ValueError(
                f"{self.path!r} has columns that are neither numbers nor categories or texts: {', '.join(odd)}. Encode "
                "them when you write the files, or list the columns to read: features=[...]."
            )
        if not self.names:
            beside = [*apart, *sorted(set(index).intersection(schema.names).difference(apart))]
            raise ValueError(
                f"{self.path!r} has no columns of features beside {beside}; features=[...] names those to read."
            )
        single = {str(types[name]) for name, kind in zip(self.names, self.kinds, strict=True) if kind == NUMBER}
        is_single = bool(single) and single <= {"float", "halffloat"}
        self.dtype = np.dtype(np.float32 if is_single else np.float64)
        self.n_rows, self.n_features = self._metadata.num_rows, len(self.names)
        sizes = [self._metadata.row_group(g).num_rows for g in range(self._metadata.num_row_groups)]
        self._ends = np.cumsum(sizes)

    def pieces(self, rows: int) -> list[int]:
        """Sizes of blocks, which are the row groups; the argument is ignored."""
        return np.diff(self._ends, prepend=0).tolist()

    def read(self, start: int, stop: int, out: np.ndarray) -> Targets:
        """Copy the features of a row group to ``out``; its y and weights."""
        table = self._table(stop, [*self.names, *self._apart])
        for j, name in enumerate(self.names):
            out[:, j] = numbers_of(name, self._column(table, j))
        return self._targets(table)

    def read_columns(self, start: int, stop: int, which: Sequence[int]) -> TargetedColumns:
        """Read some columns of a row group, its y and weights."""
        table = self._table(stop, [*(self.names[j] for j in which), *self._apart])
        return [self._column(table, j) for j in which], *self._targets(table)

    def read_frame(self, start: int, stop: int) -> pa.Table:
        """The features of a row group."""
        return self._table(stop, self.names)

    def _kind(self, kind: pa.DataType) -> str:
        """Kind of a column of this type; empty if it cannot be used."""
        types = self._pa.types
        if types.is_dictionary(kind):
            return CATEGORY if self._kind(kind.value_type) else ""
        if types.is_string(kind) or types.is_large_string(kind):
            return TEXT
        return NUMBER if _is_number(kind) else ""

    def _column(self, table: pa.Table, j: int) -> np.ndarray | CodedColumn:
        column = table.column(self.names[j])
        if self.kinds[j] == NUMBER:
            return column.to_numpy(zero_copy_only=False)
        if not self._pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        joined = column.unify_dictionaries().combine_chunks()
        codes = joined.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        values = joined.dictionary
        if len(values) > len(codes):  # a file may repeat all categories in each of its parts
            used, codes = np.unique(codes, return_inverse=True)
            codes, used = codes - (used[0] < 0), used[used >= 0]
            values = values.take(self._pa.array(used))
        return CodedColumn(codes, values.to_numpy(zero_copy_only=False))

    def read_targets(self, start: int, stop: int) -> Targets:
        """Copy y and weights."""
        return self._targets(self._table(stop, self._apart)) if self._apart else (None, None)

    def _table(self, stop: int, names: list[str]) -> pa.Table:
        group = int(np.searchsorted(self._ends, stop))
        with self._pa.parquet.ParquetFile(self.path, metadata=self._metadata) as file:
            return file.read_row_group(group, columns=names, use_threads=False)

    def _numpy(self, column: pa.ChunkedArray) -> np.ndarray:
        if self._pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.to_numpy(zero_copy_only=False)

    def _targets(self, table: pa.Table) -> Targets:
        y = weights = None
        if self._y is not None:
            columns = [self._numpy(table.column(name)) for name in self._y]
            y = columns[0] if self._y_is_1d else np.stack(columns, axis=1)
        if self._weights is not None:
            weights = weights_of(self._numpy(table.column(self._weights)))
        return y, weights


def join_frames(tables: Sequence[pa.Table], kinds: Sequence[str]) -> DataFrame:
    """The rows of several tables in one pandas DataFrame, with columns of the given kinds."""
    names = tables[0].column_names
    parts = [_of_one_type([table.column(j) for table in tables], kind) for j, kind in enumerate(kinds)]
    alike = [_pyarrow().table(list(columns), names) for columns in zip(*parts, strict=True)]
    joined = _pyarrow().concat_tables(alike, promote_options="permissive").unify_dictionaries()
    return joined.to_pandas(ignore_metadata=True)


def _of_one_type(columns: list[pa.ChunkedArray], kind: str) -> list[pa.ChunkedArray]:
    """Convert parts of a column with different types to types that can be joined."""
    types, given = _pyarrow().types, [column.type for column in columns]
    are_coded = [types.is_dictionary(one) for one in given]
    values = [one.value_type if is_coded else one for one, is_coded in zip(given, are_coded, strict=True)]
    as_asked = [is_coded == (kind == CATEGORY) for is_coded in are_coded]
    if all(as_asked) and len(set(given)) == 1 and (kind != TEXT or not _is_number(values[0])):
        return columns
    plain = [_with_gaps(column.cast(value)) for column, value in zip(columns, values, strict=True)]
    are_numbers = [_is_number(value) for value in values]
    if kind == TEXT or not all(are_numbers):
        plain = [_texts(c) if is_number else c for c, is_number in zip(plain, are_numbers, strict=True)]
    elif any(map(types.is_boolean, values)):
        plain = [c.cast("int8") if types.is_boolean(c.type) else c for c in plain]
    return [column.dictionary_encode() for column in plain] if kind == CATEGORY else plain


def _is_number(kind: pa.DataType) -> bool:
    types = _pyarrow().types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _with_gaps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace NaN by missing values, since it is not a category."""
    pa = _pyarrow()
    if not pa.types.is_floating(column.type):
        return column
    return pa.chunked_array(
        [pa.array(chunk.to_numpy(zero_copy_only=False), from_pandas=True) for chunk in column.chunks], column.type
    )


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert numbers to the texts of categories."""
    pa = _pyarrow()
    coded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    texts = pa.array([text_of(value) for value in coded.dictionary.to_numpy(zero_copy_only=False)], pa.string())
    return pa.chunked_array([texts.take(coded.indices)])
