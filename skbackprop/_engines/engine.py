"""The contract of the engines, the only objects that compute with weights.

Shapes. X is (n, n_features): an array, a CSR matrix or, on a cluster, rows that lie elsewhere. Y is (n, n_targets), or
(n,) integer class codes for the losses of one label per row. weights are (n,), None for ones. theta, gradients and the
vectors of the optimizer's memory are flat and have the order of `Network.shapes`.

Types. Everything has theta's dtype and lies where theta lies; codes, order and row numbers are int64, rates float64 and
on the host. The compiled engine takes NumPy and SciPy in float32 and float64, and converts what has another dtype.
Numbers that an engine sums may be arrays without axes, so that a device need not be waited for.

Sums. Values and gradients are sums over rows, not means, so that those of disjoint blocks or shards add up (D7).
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from skbackprop._nn.network import Network, Objective
from skbackprop._types import Array, Integers

SLICE_SECONDS = 0.05  # of steps between two chances to interrupt
Memory: TypeAlias = dict[str, Array | float]  # of the optimizer, by the names of its rule
Number: TypeAlias = Array | float
Sums: TypeAlias = tuple[Number, Number]  # of w * loss, and of w
Weights: TypeAlias = Array | None
RowNumbers: TypeAlias = int | Integers  # the first one's, or each one's


class Engine(Protocol):
    """One network in training or prediction, wherever its rows lie."""

    network: Network
    step: int  # steps made since `load`, or the number that `train_steps` went on to

    @property
    def precision(self) -> str:
        """Of products: "highest" or "medium", which is only for float32."""

    def load(self, theta: Array, state: Memory | None = None, objective: Objective | None = None) -> None:
        """Take parameters, the optimizer's memory (None: fresh), and the Objective that steps follow."""

    def dump(self, memory: bool = True) -> tuple[Array, Memory | None]:
        """Give the parameters and, if asked for, the optimizer's memory back, as they are now."""

    def loss_and_gradient(
        self, X: Array, Y: Array, weights: Weights, step: int | None = None, row_offset: RowNumbers = 0
    ) -> tuple[Number, Array, Number]:
        """Sum of w * loss, its gradient without the penalty, and the sum of w.

        Given a step, dropout takes its masks, those of the rows numbered row_offset, row_offset + 1, ... in their
        minibatch or, if it is an array (n,), of the rows with these numbers.
        """

    def train_steps(
        self,
        X: Array,
        Y: Array,
        weights: Weights,
        order: Integers,
        rates: Array,
        first_step: int,
        sums: Sums = (0.0, 0.0),
    ) -> tuple[Sums, int]:
        """Walk through the rows of `order` (m,), a minibatch and a rate a step, until these or the time slice end.

        Gives the sums, to which those of the rows visited were added, and the number of steps made, at least one.
        """

    def predict(self, X: Array, link: bool = True, checked: bool = True, members: bool = False) -> Array | None:
        """Output of the network, (n, n_outputs): link(v[H]), or v[H] itself.

        Of several members the mean prediction, or with `members` each one's, (members, n, n_outputs). None if X was
        not checked before and holds NaN or infinity.
        """


class LocalEngine(Engine, Protocol):
    """An engine whose rows are here, and which can make a step for a gradient that was summed up elsewhere."""

    objective: Objective  # of the last `load`

    def apply_gradient(self, gradient: Array, rate: float) -> None:
        """Make one step of the optimizer."""
