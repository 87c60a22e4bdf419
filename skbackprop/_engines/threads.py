"""How many threads the kernels may use."""

from __future__ import annotations

import os


def resolve_threads(n_threads: int | None) -> int:
    """Read n_threads; None honours OMP_NUM_THREADS, joblib's inner limit, and the CPUs this process may use."""
    if n_threads is not None:
        return int(n_threads)
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(int(limit), cpus)) if limit.isdigit() else cpus
