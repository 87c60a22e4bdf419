"""The parameters that estimators for clusters have beside the local ones', and the documentation of both."""

from __future__ import annotations

import inspect
import re
from numbers import Integral
from typing import Any, Literal, TypeVar

from distributed import Client

from skbackprop._checks.constraints import Interval, StrOptions

DOC = """{summary}

All parameters are those of :class:`~skbackprop.{local}`, which :meth:`to_local` gives; the same ``random_state`` gives
the same model, to rounding, however the rows are cut and wherever they lie. Partitions are computed and spread
evenly; each worker joins those that it then holds, and does its part of every minibatch in one long task. Targets and
weights of all rows, unlike X, also come to one of these workers. ``n_threads=None`` takes as many threads as a worker
has.

Parameters
----------
{parameters}
client : distributed.Client, default=None
    Of the cluster to fit on; None takes the current one. It is not pickled.
workers : list of str, default=None
    Addresses of the workers to train on, such as the keys of ``client.nthreads()``; None means all. Rows are spread
    evenly over them: a few partitions move, also of persisted collections.
sync_every : int, default=1
    1: every step is that of the whole minibatch. k > 1: workers make k steps of their own, each with its rows of the
    minibatches, and then take the mean of their weights, by the rows they saw (local SGD [1]_). That is a k-th of the
    messages, for slow networks, but **not the same training**: a worker's minibatches are smaller, and its optimizer
    keeps its own memory.
on_worker_lost : {{'raise', 'retry'}}, default='raise'
    What to do when a worker with rows dies or leaves: raise `WorkerLostError`, or go on from the last epoch's weights
    and optimizer memory on the workers left, for which Dask computes the lost rows again. L-BFGS goes on without its
    memory. To retry costs a message of the size of the weights (Adam: three times that) to the client in each epoch.

Attributes
----------
{attributes}

See Also
--------
skbackprop.{local} : The local estimator, with all parameters and attributes explained.

References
----------
.. [1] Stich, "Local SGD converges fast and communicates little", 2019.

Examples
--------
{example}
"""


PARAMETERS: dict[str, tuple[object, object, object]] = {  # defaults, types and constraints
    "client": (None, Client | None, "no_validation"),
    "workers": (None, list[str] | None, ["array-like", None]),
    "sync_every": (1, int, [Interval(Integral, 1, None, closed="left")]),
    "on_worker_lost": ("raise", Literal["raise", "retry"], [StrOptions({"raise", "retry"})]),
}
Estimator = TypeVar("Estimator", bound=Any)


def on_cluster(cls: Estimator) -> Estimator:
    """Give an estimator the parameters and documentation of its local class, and the cluster's parameters."""
    local: Any = cls._local
    cls._parameter_constraints = local._parameter_constraints | {name: row[2] for name, row in PARAMETERS.items()}
    signature = inspect.signature(local.__init__)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (default, kind, _) in PARAMETERS.items()
    ]

    def __init__(self: object, *args: object, **kwargs: object) -> None:
        own = {name: kwargs.pop(name, default) for name, (default, *_) in PARAMETERS.items()}
        local.__init__(self, *args, **kwargs)
        self.__dict__.update(own)

    init: Any = __init__
    init.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])
    cls.__init__ = init
    if local.__doc__ is not None and cls.__doc__ is not None:  # python -OO has none
        # its references stay there
        text = re.sub(r"(?<! ) \[\d\]_|\[\d\]_", "", inspect.cleandoc(local.__doc__))
        after = text.partition("Parameters\n----------\n")[2]
        parameters, _, after = after.partition("\n\nAttributes\n----------\n")
        attributes = after.partition("\n\nSee Also\n")[0]
        summary, _, example = inspect.cleandoc(cls.__doc__).partition("\n\n")
        cls.__doc__ = DOC.format(
            summary=summary, local=local.__name__, parameters=parameters, attributes=attributes, example=example
        )
    return cls
