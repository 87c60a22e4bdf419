"""The compiled engine: kernels in C for NumPy arrays and CSR matrices.

A time slice of an epoch is one call that uses no Python objects. The formulas are those of the reference engine, and
tests compare the two. Results have the same bits for any number of threads, and the prediction of a row does not depend
on other rows.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skbackprop._engines.encoded_table import EncodedTable
from skbackprop._engines.engine import SLICE_SECONDS, Memory, Number, RowNumbers, Sums, Weights
from skbackprop._engines.level import FLOATS, _cpu, level
from skbackprop._engines.precision import level_of_tiles
from skbackprop._engines.threads import limit_threads, resolve_threads
from skbackprop._nn.losses import LOSSES, finish_members
from skbackprop._nn.network import Network, Objective
from skbackprop._nn.optimizers import OPTIMIZERS, Optimizer
from skbackprop._types import Array, Integers

limit_threads()
FEW_ROWS = 4  # up to which predicting is faster than copying the parameters to the kernels' memory
NO_OBJECTIVE = Objective(1)  # if there are no steps
INT64 = np.dtype(np.int64)
BLOCK_ROWS = 512  # largest number of rows whose activations are in memory at a time
BLOCK_NUMBERS = 2**22  # largest number of these activations in the widest layer


def without_kernel(network: Network, optimizer: Optimizer) -> list[str]:
    """Components that only the reference engine can compute."""
    names = [name for name in network.activations if name not in _cpu.ACTIVATIONS]
    names += [network.loss] if network.loss not in _cpu.LOSSES else []
    names += [optimizer.name] if optimizer.name not in _cpu.OPTIMIZERS else []
    return names


class CompiledEngine:
    """The interface `Engine`, implemented by the kernels."""

    def __init__(
        self, network: Network, optimizer: Optimizer, n_threads: int | None = None, precision: str = "highest"
    ):
        self.network, self.optimizer, self.n_threads = network, optimizer, n_threads
        self._precision = precision  # asked for
        self.rule = OPTIMIZERS[optimizer.name]
        self.net: _cpu.CpuNet | None = None
        self.dtype = FLOATS[0]
        self._is_filled = False  # are the parameters in the kernels' memory,
        self._remembers = False  # and the optimizer's memory?
        widest = max(network.sizes) * network.n_members
        self._block_rows = max(1, min(BLOCK_ROWS, BLOCK_NUMBERS // widest))

    @property
    def precision(self) -> str:
        return self._precision if self.dtype == np.float32 else "highest"

    # ------------------------------------------------------------------------------- state ----

    def load(self, theta: Array, state: Memory | None = None, objective: Objective | None = None) -> None:
        self.network.check(theta)
        if state is not None:
            self.rule.check(state, theta)
        if theta.dtype != self.dtype and theta.dtype not in FLOATS:
            raise ValueError(f"The kernels compute in float32 and float64, got parameters of {theta.dtype}.")
        self._theta, self._state, self.step = _plain(theta, theta.dtype), state, 0
        self.objective = NO_OBJECTIVE if objective is None else objective
        self._is_filled = self._remembers = False
        if self.dtype != self._theta.dtype:
            self.net, self.dtype = None, self._theta.dtype

    def _need(self, rows: int, filled: bool = True, memory: bool = False) -> _cpu.CpuNet:
        """The network in the kernels' memory, with the parameters, and space for a number of rows at a time."""
        if self.net is None or self.net.max_rows < rows:
            if self._remembers:
                self._state = self._memory()
            self._theta = self._parameters()
            self._is_filled = self._remembers = False
            self.net = self._create(max(1, rows))
        if filled and not self._is_filled:
            self.net.set(-1, self._theta)
            self._is_filled = True
        if memory and not self._remembers:
            state = self._memory()
            for slot, name in enumerate(self.rule.slots):
                self.net.set(slot, _plain(state[name], self.dtype))
            self.net.mu_product = float(state.get("mu_product", 1.0))
            self._remembers = True
        return self.net

    def _create(self, rows: int) -> _cpu.CpuNet:
        """Allocate the network of the kernels, whose fields have the same names as here."""
        network, optimizer = self.network, self.optimizer
        parts = (network, network.loss_args, optimizer)
        values = {field.name: getattr(part, field.name) for part in parts for field in fields(part)}
        del values["loss_args"]
        values |= {"optimizer": values.pop("name"), "max_grad_norm": optimizer.max_grad_norm or 0.0}
        kind = (level(), self.dtype.name) if self.precision == "highest" else (level_of_tiles(), "bfloat16")
        return _cpu.CpuNet(*kind, rows, n_targets=network.n_targets, **values)

    def dump(self, memory: bool = True) -> tuple[Array, Memory | None]:
        return self._parameters(), self._memory() if memory else None

    def _parameters(self) -> Array:
        return self._theta if self.net is None or not self._is_filled else self._copy(self.net, -1)

    def _memory(self) -> Memory:
        if self.net is None or not self._remembers:
            return self.rule.init(np, self._theta) if self._state is None else self._state
        memory: Memory = {name: self._copy(self.net, slot) for slot, name in enumerate(self.rule.slots)}
        if "mu_product" in self.rule.init(np, np.zeros(1)):
            memory["mu_product"] = self.net.mu_product
        return memory

    def _copy(self, net: _cpu.CpuNet, slot: int) -> Array:
        flat = np.empty(self.network.n_parameters, dtype=self.dtype)
        net.get(slot, flat)
        return flat

    # -------------------------------------------------------------------------- arithmetic ----

    def loss_and_gradient(
        self, X: Array, Y: Array, weights: Weights, step: int | None = None, row_offset: RowNumbers = 0
    ) -> tuple[Number, Array, Number]:
        net = self._need(min(X.shape[0], self._block_rows))
        net.set_threads(resolve_threads(self.n_threads))
        gradient = np.empty(self.network.n_parameters, dtype=self.dtype)
        numbers = None if isinstance(row_offset, int) else _plain(row_offset, INT64)
        loss, total = net.gradient(
            self._rows(X),
            self._targets(Y),
            None if weights is None else _plain(weights, self.dtype),
            -1 if step is None else step,
            row_offset if isinstance(row_offset, int) else 0,
            numbers,
            gradient,
        )
        return loss, gradient, total

    def apply_gradient(self, gradient: Array, rate: float) -> None:
        self.step += 1
        self._need(1, memory=True).apply(_plain(gradient, self.dtype), rate, self.step)

    def train_steps(
        self, X: Array, Y: Array, weights: Weights, order: Integers, rates: Array,
        first_step: int, sums: Sums = (0.0, 0.0),
    ) -> tuple[Sums, int]:  # fmt: skip
        objective = self.objective
        net = self._need(objective.batch_size, memory=True)
        net.set_threads(resolve_threads(self.n_threads))
        sums, done = net.train(
            self._rows(X),
            self._targets(Y),
            None if weights is None else _plain(weights, self.dtype),
            _plain(order, INT64),
            _plain(rates, np.float64),
            objective.batch_size,
            objective.mean_weight,
            objective.penalty,
            first_step,
            SLICE_SECONDS,
            *map(float, sums),
        )
        self.step = first_step + done
        return sums, done

    def predict(self, X: Array, link: bool = True, checked: bool = True, members: bool = False) -> Array | None:
        if not checked and isinstance(X, EncodedTable) and not math.isfinite(X.largest()):
            return None
        network, alone = self.network, self.network.n_members == 1
        out = np.empty((X.shape[0], network.n_members, network.sizes[-1]), dtype=self.dtype)
        is_plain = alone and not network.input_scale and isinstance(X, np.ndarray) and self.precision == "highest"
        if X.shape[0] <= FEW_ROWS and not self._is_filled and is_plain:
            net = self._need(FEW_ROWS, filled=False)
            is_finite = net.predict(self._rows(X), out, link and alone, checked, self._theta)
        else:
            net = self._need(min(X.shape[0], self._block_rows))
            net.set_threads(resolve_threads(self.n_threads))
            is_finite = net.predict(self._rows(X), out, link and alone, checked)
        if not is_finite:
            return None
        if alone:
            return out[None, :, 0, :] if members else out[:, 0, :]
        with np.errstate(all="ignore"):  # the caller looks for what is not finite
            return finish_members(np, LOSSES[network.loss], out.transpose(1, 0, 2), link, members)

    def _targets(self, Y: Array) -> np.ndarray:
        """Y for the kernels: class codes, or a contiguous matrix."""
        if LOSSES[self.network.loss].task != "classification":
            return _plain(Y, self.dtype)
        if Y.ndim != 1 or Y.dtype.kind not in "iu":
            raise ValueError(f"{_cpu.CODES} Got an array of shape {Y.shape} and dtype {Y.dtype}.")
        return _plain(Y, INT64)

    def _rows(self, X: Array) -> np.ndarray | _cpu.Csr | _cpu.Table:
        """X for the kernels: a contiguous matrix, the three arrays of CSR and the shape, or an encoded table."""
        if isinstance(X, EncodedTable):
            return X.astype(self.dtype).table()
        if isinstance(X, np.ndarray):
            return _plain(X, self.dtype)
        sparse: Any = X  # SciPy has no types
        S = sparse.tocsr()
        kind = np.int32 if S.indices.dtype == S.indptr.dtype == np.int32 else INT64
        return _plain(S.data, self.dtype), _plain(S.indices, kind), _plain(S.indptr, kind), S.shape


def _plain(array: ArrayLike, dtype: DTypeLike) -> np.ndarray:
    """The array itself if it is contiguous and aligned, else a copy."""
    plain = np.ascontiguousarray(array, dtype=dtype)
    return plain if plain.flags.aligned else plain.copy()
