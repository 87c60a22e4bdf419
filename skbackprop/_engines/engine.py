"""The interface of the engines, the only objects that compute with weights.

Shapes. X is (n, n_features): an array, a CSR matrix or, on a cluster, rows on other machines. Y is (n, n_targets), or
(n,) integer class codes for the losses of one label per row. weights are (n,), None for ones. theta, gradients and the
vectors of the optimizer's memory are flat and have the order of `Network.shapes`.

Types. Everything has the dtype and the device of theta; codes, order and row numbers are int64, rates float64 and on
the host. The compiled engine takes NumPy and SciPy in float32 and float64, and converts other dtypes. Sums may be
zero-dimensional arrays, so that the host need not wait for a device.

Sums. Values and gradients are sums over rows, not means, so that those of disjoint blocks or shards add up (D7).
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from skbackprop._nn.network import Network, Objective
from skbackprop._types import Array, Integers

SLICE_SECONDS = 0.05  # of steps between two checks for interrupts
Memory: TypeAlias = dict[str, Array | float]  # of the optimizer, by the names of its rule
Number: TypeAlias = Array | float
Sums: TypeAlias = tuple[Number, Number]  # of w * loss, and of w
Weights: TypeAlias = Array | None
RowNumbers: TypeAlias = int | Integers  # the first one's, or each one's


class Engine(Protocol):
    """One network in training or prediction."""

    network: Network
    step: int  # number of the last step

    @property
    def precision(self) -> str:
        """Of products: "highest" or "medium", which is only for float32."""

    def load(self, theta: Array, state: Memory | None = None, objective: Objective | None = None) -> None:
        """Load parameters, the optimizer's memory (None: a new one), and the Objective for steps."""

    def dump(self, memory: bool = True) -> tuple[Array, Memory | None]:
        """Return the current parameters and, if asked for, the optimizer's memory."""

    def loss_and_gradient(
        self, X: Array, Y: Array, weights: Weights, step: int | None = None, row_offset: RowNumbers = 0
    ) -> tuple[Number, Array, Number]:
        """Sum of w * loss, its gradient without the penalty, and the sum of w.

        With a step, dropout uses its masks. The rows have the numbers row_offset, row_offset + 1, ... in their
        minibatch, or those in an array row_offset (n,).
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
        """Train on the rows of `order` (m,), one minibatch and rate per step, until these or the time slice end.

        Returns the sums, to which those of the visited rows were added, and the number of steps, at least one.
        """

    def predict(self, X: Array, link: bool = True, checked: bool = True, members: bool = False) -> Array | None:
        """Output of the network, (n, n_outputs): link(v[H]), or v[H] itself.

        For several members the mean prediction, or with `members` those of each, (members, n, n_outputs). None if X
        was not checked before and contains NaN or infinity.
        """


class LocalEngine(Engine, Protocol):
    """An engine of this process, which can also make a step with a gradient that was computed elsewhere."""

    objective: Objective  # of the last `load`

    def apply_gradient(self, gradient: Array, rate: float) -> None:
        """Make one step of the optimizer."""
