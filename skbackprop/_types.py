"""Types that many rooms share."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Data: TypeAlias = object  # array-like, sparse matrix or DataFrame, of whatever library
Attributes: TypeAlias = dict[str, Any]  # of an estimator: parameters, or what fit found
Auto: TypeAlias = Literal["auto"]

# of NumPy, or of another namespace of the array-API standard: typed as NumPy's, whose operators all of them share
Array: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


class Namespace(Protocol):
    """The functions of the array-API standard: NumPy, or another library through array_api_compat."""

    float64: Any
    int64: Any
    finfo: Any

    def __getattr__(self, name: str) -> Callable[..., Array]: ...
