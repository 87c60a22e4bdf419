"""The number of threads of the kernels: by default, by OMP_NUM_THREADS, and by threadpoolctl.

Linear algebra, OpenMP and these kernels should have the same limit. joblib sets OMP_NUM_THREADS in its workers, and
`threadpoolctl.threadpool_limits` sets the limit of every registered library, including this one.
"""

from __future__ import annotations

import os

import threadpoolctl

import skbackprop._engines._cpu as _cpu

MOST_THREADS = 2**31 - 1  # the largest `int` of C


def default_threads() -> int:
    """OMP_NUM_THREADS, but at most the number of CPUs of this process."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        wanted = int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])  # the outermost of nested levels
    except ValueError:  # it is ignored, as OpenMP does
        return cpus
    return min(wanted, cpus) if wanted > 0 else cpus


class KernelThreads(threadpoolctl.LibController):  # type: ignore[misc]  # of a package without types
    """The controller by which threadpoolctl reads and limits the threads of the kernels."""

    user_api = "skbackprop"
    internal_api = "skbackprop"
    filename_prefixes = ("_cpu",)
    check_symbols = ("skb_get_num_threads", "skb_set_num_threads")

    def get_num_threads(self) -> int:
        """The limit for n_threads=None."""
        return int(self.dynlib.skb_get_num_threads())

    def set_num_threads(self, num_threads: int) -> None:
        """Limit them."""
        self.dynlib.skb_set_num_threads(num_threads)

    def get_version(self) -> None:
        """Required by threadpoolctl; the package has its own version."""


def resolve_threads(n_threads: int | None) -> int:
    """Read n_threads; None means the present limit."""
    if n_threads is None:
        return _cpu.get_num_threads()
    if not 1 <= n_threads <= MOST_THREADS:
        raise ValueError(f"n_threads must be None or an integer from 1 to {MOST_THREADS}; got {n_threads!r}.")
    return int(n_threads)


def limit_threads() -> None:
    """Set the limit of the kernels' threads, and register it with threadpoolctl."""
    _cpu.set_num_threads(default_threads())
    if hasattr(threadpoolctl, "register"):  # from version 3.2 on
        threadpoolctl.register(KernelThreads)
