"""What the public signatures speak of."""

from typing import Any, Literal, TypeAlias

Data: TypeAlias = Any  # array-like, sparse matrix or DataFrame, of whatever library
Array: TypeAlias = Any  # an array of the library that computes, which is NumPy unless X comes from another
Auto: TypeAlias = Literal["auto"]
