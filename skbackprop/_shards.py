"""Files and arrays for the arguments of `skbackprop.data.Shards`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from skbackprop._parquet import ParquetShard, index_columns
from skbackprop._readers import ArrayShard, Source

Shard: TypeAlias = ArrayShard | ParquetShard


def open_shards(X: Any, y: Any, weights: Any, features: Sequence[str] | None) -> list[Shard]:
    """Make the shards of these arguments."""
    if isinstance(X, (str, os.PathLike)) and Path(X).is_dir():
        X, y, weights = _in_folder(Path(X), y, weights)
    is_list = isinstance(X, (list, tuple))
    sources = list(X) if is_list else [X]
    if not sources:
        raise ValueError("X is an empty list. Pass at least one file or array.")
    are_parquet = [isinstance(s, (str, os.PathLike)) and Path(s).suffix != ".npy" for s in sources]
    shards: list[Shard] = []
    if all(are_parquet):
        index = index_columns(sources) if features is None else set()
        shards += [ParquetShard(source, y, weights, features, index) for source in sources]
    elif features is not None:
        raise ValueError("features names columns of Parquet files; arrays have none.")
    else:
        columns = [_like(sources, is_list, given, name) for given, name in ((y, "y"), (weights, "sample_weight"))]
        shards += [ArrayShard(*parts) for parts in zip(sources, *columns, strict=True)]
    for shard in shards:
        _check_alike(shards[0], shard)
    return shards


def _in_folder(folder: Path, y: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Files of X, y and weights in a folder; for Parquet files y and weights are names of columns."""
    parquet = sorted(folder.glob("*.parquet"))
    found = [sorted(folder.glob(f"{name}*.npy")) for name in ("X", "y", "sample_weight")]
    if parquet and not found[0]:
        return parquet, y, weights
    if not found[0]:
        raise ValueError(f"The folder {str(folder)!r} holds neither files X*.npy nor *.parquet.")
    if y is not None or weights is not None:
        raise ValueError(
            "In a folder of .npy files, y and sample_weight are the files y*.npy and sample_weight*.npy. Omit them."
        )
    return found[0], found[1] or None, found[2] or None


def _like(sources: list[Source], is_list: bool, given: Any, name: str) -> list[Source | None]:
    """Targets or weights as a list with as many entries as that of X."""
    if given is None:
        return [None] * len(sources)
    parts = list(given) if is_list and isinstance(given, (list, tuple)) else [given]
    if len(parts) != len(sources):
        raise ValueError(f"{name} must have as many files or arrays as X, which has {len(sources)}; got {len(parts)}.")
    return parts


def _check_alike(first: Shard, shard: Shard) -> None:
    """Raise unless two shards have the same columns."""
    if (shard.n_features, shard.names) != (first.n_features, first.names):
        raise ValueError(
            f"All shards must have the same columns: the first has {first.names or first.n_features}, another "
            f"{shard.names or shard.n_features}."
        )
    if first.target_shape != shard.target_shape:
        shapes = [first.target_shape, shard.target_shape]
        ours, theirs = ["of none" if shape is None else str(("n_samples", *shape)).replace("'", "") for shape in shapes]
        raise ValueError(
            f"The targets of all shards must have the same columns: the first shard's have the shape {ours}, another's "
            f"{theirs}."
        )
