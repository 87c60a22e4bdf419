from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[Any]  # of the network's dtype, contiguous
Csr: TypeAlias = tuple[Vector, NDArray[Any], NDArray[Any], tuple[int, int]]
Integers: TypeAlias = NDArray[np.int64]

CODES: str
BUILT_LEVELS: tuple[str, ...]
LEVELS: tuple[str, ...]
ACTIVATIONS: tuple[str, ...]
LOSSES: tuple[str, ...]
OPTIMIZERS: tuple[str, ...]

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def ask_for_tiles() -> bool: ...
def compiler() -> str: ...
def fma_rate(level: str, dtype: str) -> float: ...
def largest(level: str, array: np.ndarray) -> float: ...
def find_bins(
    x: NDArray[np.float64],
    edges: NDArray[np.float64],
    low: float,
    high: float,
    bins: NDArray[np.uint16],
    codes: NDArray[np.float32],
    j: int,
) -> None: ...

class Table:
    shape: tuple[int, int]
    def __init__(self, n_rows: int, itemsize: int, parts: list[dict[str, NDArray[Any] | float]]) -> None: ...
    def encode(self, level: str, order: Integers, out: NDArray[Any]) -> None: ...

class CpuNet:
    max_rows: int
    mu_product: float
    def __init__(
        self,
        level: str,
        dtype: str,
        max_rows: int,
        *,
        sizes: Sequence[int],
        activations: Sequence[str],
        dropout: Sequence[float],
        seed: int,
        loss: str,
        n_targets: int,
        focal_gamma: float,
        huber_delta: float,
        label_smoothing: float,
        quantiles: Sequence[float],
        n_members: int,
        input_scale: bool,
        input_scale_rate: float,
        optimizer: str,
        nesterov: bool,
        momentum: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
        max_grad_norm: float,
    ) -> None: ...
    def set(self, slot: int, flat: Vector) -> None: ...
    def get(self, slot: int, flat: Vector) -> None: ...
    def set_threads(self, n_threads: int) -> None: ...
    def gradient(
        self,
        X: NDArray[Any] | Csr | Table,
        Y: NDArray[Any],
        weights: Vector | None,
        step: int,
        row_offset: int,
        numbers: Integers | None,
        flat: Vector,
    ) -> tuple[float, float]: ...
    def apply(self, flat: Vector, rate: float, t: int) -> None: ...
    def train(
        self,
        X: NDArray[Any] | Csr | Table,
        Y: NDArray[Any],
        weights: Vector | None,
        order: Integers,
        rates: NDArray[np.float64],
        batch_size: int,
        mean_weight: float,
        penalty: float,
        first_step: int,
        seconds: float,
        loss_sum: float = 0,
        weight_sum: float = 0,
    ) -> tuple[tuple[float, float], int]: ...
    def predict(
        self,
        X: NDArray[Any] | Csr | Table,
        out: NDArray[Any],
        link: bool,
        checked_before: bool,
        flat: Vector | None = None,
    ) -> bool: ...
