"""Types that many modules share."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Data: TypeAlias = object  # array-like, sparse matrix or DataFrame of any library
Attributes: TypeAlias = dict[str, Any]  # of an estimator: parameters, or fitted attributes
Auto: TypeAlias = Literal["auto"]

# of NumPy or another array-API namespace; typed as NumPy's, since all have the same operators
Array: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


class Namespace(Protocol):
    """The functions of the array-API standard: NumPy, or another library through array_api_compat."""

    float64: Any
    int64: Any
    finfo: Any

    def __getattr__(self, name: str) -> Callable[..., Array]: ...
