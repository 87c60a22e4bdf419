"""The validation loss after an epoch, and the loss of the best constant prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from skbackprop._engines.engine import Engine
from skbackprop._fit.block import output_blocks
from skbackprop._fit.dataset import Dataset
from skbackprop._fit.targets import TargetCodec
from skbackprop._fit.weights import class_counts
from skbackprop._nn.losses import LOSSES, Loss, LossArgs, smooth, target_rows
from skbackprop._types import Array


def validation_loss(
    engine: Engine, held_out: Dataset, codec: TargetCodec, dtype: DTypeLike
) -> Callable[[Array], float]:
    """Make the function from parameters to the weighted mean loss on the validation rows."""
    network = engine.network
    loss, args = LOSSES[network.loss], replace(network.loss_args, label_smoothing=0.0)
    n_outputs = network.sizes[-1] * network.n_members
    blocks = held_out.validation_blocks(codec, dtype)

    @np.errstate(over="ignore", invalid="ignore")  # outputs beyond all bounds have an infinite loss
    def of(theta: Array) -> float:
        engine.load(theta)
        losses, totals = [], []
        for block in blocks():
            xp, w, parts = block.device.xp, block.weights, []
            if w is not None and not w.any():  # of a block; all are not
                continue
            for rows, X in output_blocks(block.X, n_outputs):
                v = engine.predict(X, link=False)
                assert v is not None  # X was checked
                y = target_rows(xp, loss, block.Y[rows, ...], v.shape[1], v, args)
                parts.append(block.device.fetch(loss.value(xp, v, y, args)))
            values = np.concatenate(parts)
            values[np.isnan(values)] = np.inf
            losses.append(float(np.average(values if w is None else np.where(w, values, 0.0), weights=w)))
            totals.append(block.n if w is None else w.sum())
        return losses[0] if len(losses) == 1 else float(np.average(losses, weights=totals))

    return of


def constant_loss(
    loss_name: str, Y: np.ndarray, weights: np.ndarray | None, args: LossArgs, n_classes: int = 0
) -> float:
    """Weighted mean loss L0 of the best constant prediction, to which `tol` is relative. n_classes: of class codes."""
    loss = LOSSES[loss_name]
    y, w, spread = _few_targets(loss, Y, weights, args, n_classes)
    v = loss.constant(y, w, args)
    values = loss.value(np, np.broadcast_to(v, (len(y), len(v))), y, args)
    return float(np.average(values, weights=w)) + spread


def _few_targets(
    loss: Loss, Y: np.ndarray, weights: np.ndarray | None, args: LossArgs, n_classes: int
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Fewer targets with weights and a number: a constant's mean loss over all rows is that over these plus the number.

    If the loss is linear or quadratic in the labels, one row with the shares of the labels as targets is enough.
    """
    w = np.ones(len(Y)) if weights is None else weights.astype(np.float64)
    if loss.task == "regression":
        return Y.astype(np.float64), w, 0.0
    counts = class_counts(Y, w, n_classes)
    if loss.quadratic is not None:
        total = counts.sum() if loss.task == "classification" else w.sum()
        shares = np.minimum(counts / total, 1.0)  # which rounding may exceed
        variance = (1.0 - args.label_smoothing) ** 2 * float(shares @ (1.0 - shares))
        y = smooth(shares[None, :], args.label_smoothing, loss.task == "multilabel")
        return y, None, loss.quadratic * variance
    if loss.task == "classification":  # each class once
        Y = np.flatnonzero(counts)
        w = counts[Y]
    else:
        Y = Y.astype(np.float64)
    targets: Any = Y
    return target_rows(np, loss, targets, len(counts), w, args), w, 0.0
