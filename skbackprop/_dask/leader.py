"""Rank 0: the ordinary fit of the local estimator, with rows that are spread over all ranks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from skbackprop._dask.post import Mailbox
from skbackprop._dask.ranks import Rank, columns_of
from skbackprop._dask.spread import Remote, Spread, SpreadEngine, SpreadRows
from skbackprop._dask.tables import from_plain
from skbackprop._estimator import BaseMLP
from skbackprop._fit import validation
from skbackprop._fit.device import HOST
from skbackprop._fit.samples import Sample
from skbackprop._fit.training import Outcome, Plan
from skbackprop._fit.warn import heard_by
from skbackprop._prediction import in_blocks


class Lead:
    """What rank 0 has beyond the estimator: the ranks, the rows that lie on them, and the client's ear."""

    def __init__(self, job: Any, rank: Rank, mailbox: Mailbox):
        self.job, self.rank, self.mailbox, self.place = job, rank, mailbox, Spread()
        self.columns: Any = None  # number and names of the features
        self.training: Any = None  # engine, plan, rows, monitor and progress of the training that runs
        self.answering: dict[Any, SpreadEngine] = {}

    def read(self, table: str) -> tuple[Any, Any, Any]:
        """X that stays where it is, y and weights that come here, of one table."""
        layouts = self.job.layouts[table]
        if not any(layout.n for layout in layouts):
            return None, None, None
        answers = self.rank.call("read", table=table, columns=self.columns)
        held = [(layout, *answer) for layout, answer in zip(layouts, answers, strict=True) if layout.n]
        facts = [facts for _, facts, _ in held]
        if self.columns is None:
            self.columns = tuple(facts[0][:2])
        for n, names, *_ in facts:
            if (n, names) != self.columns:
                raise ValueError(f"Partitions of X differ in their columns: {self.columns} and {(n, names)}.")
        order = np.concatenate([layout.rows for layout, _, _ in held])
        y, *weights = (
            _ordered(values, order) for values in zip(*(arrays for *_, arrays in held), strict=True)
        )
        dtype = np.result_type(*(dtype for _, _, dtype, _ in facts))
        X = Remote(self.rank, layouts, table, self.columns[0], dtype)
        return X, from_plain(y, any(fact[3] for fact in facts)), weights[0] if weights else None

    def scatter(self, rows: SpreadRows) -> None:
        """Send each rank the targets and weights of its training rows."""
        X, messages = rows.X, []
        for layout in X.layouts:
            here = X.positions(layout)
            weights = [] if rows.weights is None else [rows.weights[here]]
            messages.append((None, [rows.Y[here], *weights]))
        self.rank.call(
            "prepare", *X.selection, table=X.table, dtype=X.dtype.name, mine={"messages": messages}
        )

    @property
    def n_epochs(self) -> int:
        """Epochs of the whole training that are over."""
        return len(self.training[3].history.loss_curve)

    def keep(self, theta: Any = None) -> None:
        """Send the client all that training could go on from."""
        if not self.job.keeps:
            return
        engine, plan, rows, monitor, progress = self.training
        kept = {name: getattr(monitor, name) for name in ("history", "patience", "best")} | {"theta": theta}
        if progress is not None:
            theta, memory = engine.dump()
            kept["theta"], kept["progress"] = (
                theta,
                {
                    "state": memory,
                    "steps": engine.step,
                    "total_steps": progress.total_steps,
                    "plateau_factor": plan.plateau_factor,
                    "rows_visited": rows.n * self.n_epochs,
                },
            )
            kept["rng"] = progress.rng.get_state()
        self.mailbox.tell("keep", pickle.dumps(kept))


def _ordered(values: tuple[Any, ...], order: Any) -> Any:
    """Join arrays of rows and put them in the order of their numbers."""
    joined = np.concatenate(values)
    whole = np.empty_like(joined)
    whole[order] = joined
    return whole


class Reports:
    """In the place of `Epochs`: the callbacks hear of the fit in the client's process."""

    def __init__(self, lead: Lead, solver: str, max_epochs: int):
        self._lead, self._solver, self._begun = lead, solver, False
        lead.mailbox.tell("fit", max_epochs)

    def begin_epoch(self) -> None:
        """All of the last epoch is over: training could go on from here."""
        if self._begun:
            self._lead.keep()
        self._begun = True
        if self._lead.job.has_callbacks:
            self._lead.mailbox.tell("begin_epoch", self._lead.n_epochs + 1)

    def end_epoch(self, fitted: Callable[[], dict]) -> bool:
        """True if a callback asks to stop."""
        if self._solver == "lbfgs" and self._lead.job.keeps:
            self._lead.keep(localised(fitted(), self._lead)._theta())
        if not self._lead.job.has_callbacks:
            return False
        self._lead.mailbox.tell("end_epoch", self._lead.n_epochs, localised(fitted(), self._lead))
        return bool(self._lead.mailbox.wait(interruptible=True))

    def end_fit(self, fitted: Callable[[], dict]) -> None:
        """The client tells them, when it has the model."""


class Leading(BaseMLP):
    """What makes an estimator fit rows that are elsewhere; it stands before the estimator's class."""

    _lead: Lead

    def _read(self, X: Any, y: Any, weights: Any, name: str = "sample_weight", *, reset: bool) -> Sample:
        self.n_features_in_, names = self._lead.columns  # the ranks have checked the rows
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        return Sample(X, y, validation.check_weights(weights, y, name), self._lead.place)

    def _epochs(self, task: str, max_epochs: int, sample: Any) -> Any:
        return Reports(self._lead, self.solver, max_epochs)

    def _training_rows(self, sample: Sample, dtype: Any, progress: Any) -> Any:
        rows = SpreadRows(**vars(super()._training_rows(sample, dtype, progress)))  # type: ignore[safe-super]
        self._lead.scatter(rows)
        return rows

    def _engine(self, xp: Any = np) -> Any:
        lead = self._lead
        made = SpreadEngine(
            lead.rank, super()._engine(), self.engine, lead.job.sync_every, lead.mailbox.check
        )
        if lead.training is not None and lead.training[0] is None:
            lead.training[0] = made
        return made

    def _judge(self, params: dict, sample: Sample, held_out: Sample) -> float:
        """Race here: its rows are few enough."""
        self._lead.mailbox.check()
        local = type(self._lead.job.estimator)
        parts = (replace(part, X=np.asarray(part.X), place=HOST) for part in (sample, held_out))
        return BaseMLP._judge(local(), params | {"n_threads": self._lead.rank.n_threads}, *parts)

    def _output(
        self, X: Any, link: bool, members: bool = False, method: str = "predict", answer: Any = None
    ) -> Any:
        if not isinstance(X, Remote):
            return super()._output(X, link, members, method, answer)
        answering = self._lead.answering
        if self._network not in answering:
            answering[self._network] = self._engine()
        engine = answering[self._network]
        engine.load(self._theta())
        options = {"link": link, "members": members}
        return engine.predict(X, **options) if answer is None else in_blocks(engine, X, options, answer)

    def _plan(self, progress: Any, partial: bool) -> Plan:
        plan = super()._plan(progress, partial)
        self._lead.training[1] = plan
        return plan

    def _run_minibatches(
        self, rows: Any, theta: Any, monitor: Any, progress: Any, partial: bool, saved: Any
    ) -> Outcome:
        return self._run(super()._run_minibatches, rows, theta, monitor, progress, partial, saved)

    def _run_lbfgs(self, rows: Any, theta: Any, monitor: Any) -> Outcome:
        return self._run(super()._run_lbfgs, rows, theta, monitor)

    def _run(self, run: Callable[..., Outcome], rows: Any, theta: Any, monitor: Any, *more: Any) -> Outcome:
        """Run the training, or what of it is left after a worker was lost."""
        kept, settings = self._lead.job.resume, self._settings
        self._lead.training = [None, None, rows, monitor, more[0] if more else None]
        if kept is None:
            return run(rows, theta, monitor, *more)
        for name in ("history", "patience", "best"):
            vars(getattr(monitor, name)).update(vars(kept[name]))
        if more:
            vars(more[0]).update(kept["progress"])
            more[0].rng.set_state(kept["rng"])
        left = settings.max_iter - len(monitor.history.loss_curve)
        self._settings = replace(settings, max_iter=left)
        try:
            return run(rows, kept["theta"].astype(theta.dtype), monitor, *more)
        finally:
            self._settings = settings


def localised(attributes: dict[str, Any], lead: Lead) -> Any:
    """The local estimator with the attributes of a leading one."""
    cls: Any = type(lead.job.estimator)
    model = cls.__new__(cls)
    model.__dict__.update({name: value for name, value in attributes.items() if name != "_lead"})
    return model


def run_lead(job: Any, rank: Rank, mailbox: Mailbox) -> dict[str, Any]:
    """Fit as rank 0: the model, the random numbers' state after it, and whether the user interrupted it."""
    lead = Lead(job, rank, mailbox)
    cls: Any = type(job.estimator)
    leader = cls.__new__(type(cls.__name__, (Leading, cls), {}))
    leader.__dict__.update(vars(job.estimator), _lead=lead)
    before, interrupted = leader.__dict__, False
    if job.estimator.warm_start and hasattr(job.estimator, "coefs_"):
        lead.columns = columns_of(job.estimator)
    try:
        with heard_by(lambda text, category: mailbox.tell("voice", text, category)):
            X, y, weights = lead.read("train")
            X_val, y_val, weights_val = lead.read("validation")
            leader.fit(X, y, weights, X_val=X_val, y_val=y_val, sample_weight_val=weights_val)
    except KeyboardInterrupt:
        interrupted = True
    except validation.DivergenceError as error:
        error.estimator = localised(vars(error.estimator), lead)
        raise
    rank.end()  # after an error the others learn from the closed connections: they may wait for other things
    model = None if leader.__dict__ is before else localised(vars(leader), lead)
    return {"model": model, "random_state": job.estimator.random_state, "interrupted": interrupted}
