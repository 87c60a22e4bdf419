"""Errors and warnings of a training: what happened, and what to do about it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skbackprop._fit.warn import warn
from skbackprop._nn.losses import LOSSES
from skbackprop._nn.network import Network


def check_same_shape(fitted: Network, asked: Network) -> None:
    """Raise unless the weights of the fitted network serve the one now asked for."""
    old, new = LOSSES[fitted.loss], LOSSES[asked.loss]
    if fitted.sizes != asked.sizes:
        raise ValueError(
            f"The weights kept (warm_start=True or partial_fit) have layers of the sizes {fitted.sizes}, but "
            f"hidden_layer_sizes and the data now ask for {asked.sizes}. Go on with the same "
            "hidden_layer_sizes and kind of loss, or start anew with fit and warm_start=False."
        )
    if len(fitted.activations) != fitted.n_layers - 1:
        raise ValueError(
            f"The weights kept (warm_start=True or partial_fit) belong to the activations {fitted.activations}, not "
            "one for each of their layers: the model's state was changed. Fit it anew."
        )
    if fitted.shapes != asked.shapes:
        raise ValueError(
            "The weights kept (warm_start=True or partial_fit) belong to other values of n_members and input_scale. "
            "Go on with the same, or start anew with fit and warm_start=False."
        )
    if (old.link, old.scaling) != (new.link, new.scaling):
        raise ValueError(
            f"The weights kept (warm_start=True or partial_fit) were trained with loss={fitted.loss!r}, whose "
            f"outputs mean something else than those of loss={asked.loss!r}. Start anew with fit and "
            "warm_start=False."
        )


def warn_not_converged(max_iter: int, unit: str, curve: list[float], margin: float, watched: str = "loss") -> None:
    """Say how far from converged training was, and which knob to turn.

    curve: of what patience watched, by its name: "loss", or with early stopping "validation loss" or "validation
    score". Of scores higher is better.
    """
    sign = 1.0 if watched == "validation score" else -1.0
    gain = sign * (curve[-1] - curve[-2]) if len(curve) > 1 else np.nan
    advice = "Raise max_iter or learning_rate_init, raise tol"
    if np.isnan(gain):
        change = f"left the {watched} at"
    elif gain < 0.0:
        change = f"{'lowered' if sign > 0.0 else 'raised'} the {watched} by {-gain:.3g} to"
        advice = "Lower learning_rate_init, raise max_iter or tol"
    else:
        change = f"still {'raised' if sign > 0.0 else 'lowered'} the {watched} by {gain:.3g} to"
    advice += (
        ", or stop early on purpose with early_stopping=True" if watched == "loss" else ", or lower n_iter_no_change"
    )
    warn(
        f"Training stopped at max_iter={max_iter} {unit} before it converged: the last one {change} {curve[-1]:.4g}; "
        f"less than {margin:.3g} counts as no improvement. {advice}.",
        ConvergenceWarning,
    )


def warn_large_batch(batch_size: Any, n_rows: int) -> None:
    """Say so if there are fewer rows than a batch takes."""
    if batch_size != "auto" and batch_size > n_rows:
        warn(f"batch_size={batch_size} is larger than the {n_rows} training rows: every step takes all of them.")


def warn_lbfgs(message: str, n_iter: int) -> None:
    """Pass on why SciPy's L-BFGS-B gave up."""
    warn(
        f"L-BFGS stopped after {n_iter} iterations before it converged: {message}. Raise max_iter or max_fun, "
        "scale the features, or raise tol.",
        ConvergenceWarning,
    )
