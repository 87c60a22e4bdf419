"""Entries that the package does not have, written as a contribution would be: the documentation shows them.

`test_extensions.py` puts each into its table for the length of a test.
"""

import math

import numpy as np
from scipy.optimize import brentq

from skbackprop._nn.activations import Activation
from skbackprop._nn.losses import Loss
from skbackprop._nn.optimizers import Rule
from skbackprop._nn.schedules import Schedule

# ---------------------------------------------------------------------------- an activation ----


def squareplus(xp, v):
    """(v + sqrt(v^2 + 4)) / 2 (Barron, 2021)."""
    large = 0.5 * (xp.abs(v) + xp.sqrt(v * v + 4.0))
    return xp.where(v > 0, large, 1.0 / large)  # phi(v) phi(-v) = 1: no digits cancel


def squareplus_vjp(xp, v, a, g):
    """phi'(v) = (1 + v / sqrt(v^2 + 4)) / 2 = phi(v) / sqrt(v^2 + 4)."""
    return g * a / xp.sqrt(v * v + 4.0)


def squareplus_nodes(g, v):
    """The same as ONNX nodes."""
    root = g("Sqrt", g("Add", g("Mul", v, v), 4.0))
    large = g("Mul", g("Add", g("Abs", v), root), 0.5)
    return g("Where", g("Greater", v, 0.0), large, g("Div", 1.0, large))


SQUAREPLUS = Activation(squareplus, squareplus_vjp, initializer="he_uniform", onnx=squareplus_nodes)


# ------------------------------------------------------------------------------------ a loss ----


def log_cosh(xp, v, y, args):
    """Sum of ln cosh(a - y): 1/2 r^2 for small r, |r| - ln 2 for large ones (Green, 1990)."""
    r = v - y
    return xp.sum(xp.logaddexp(r, -r) - math.log(2.0), axis=1)


def log_cosh_delta(xp, v, y, args):
    """(ln cosh r)' = tanh r."""
    return xp.tanh(v - y)


def log_cosh_constant(y, w, args):
    """Where the weighted mean of tanh(c - y) is 0: between the smallest and the largest y."""

    def slope(c, column):
        return np.average(np.tanh(c - column), weights=w)

    def center(column):
        low, high = column.min(), column.max()
        return low if low == high else brentq(slope, low, high, args=(column,))

    return np.asarray([center(column) for column in y.T])


LOG_COSH = Loss("regression", "identity", log_cosh, log_cosh_delta, log_cosh_constant, scaling="standardize")


# ------------------------------------------------------------------------------ an optimizer ----


def adagrad(xp, g, state, theta, rate, t, opt):
    """Each component's rate falls with the squares it has seen (Duchi, Hazan and Singer, 2011)."""
    total = state["total"] + g * g
    return theta - rate * g / (xp.sqrt(total) + opt.epsilon), {"total": total}


ADAGRAD = Rule(("total",), adagrad, rate=0.05, peak=0.1, uses=("epsilon",))


# -------------------------------------------------------------------------------- a schedule ----


def linear(step, total, power_t):
    """A straight line from 1 to 0 (Li, Yumer and Ramanan, 2020)."""
    return 1.0 - np.minimum(np.asarray(step) / max(total, 1), 1.0)


LINEAR = Schedule(linear)


# ----------------------------------------------------------------------------- an initializer ----


def lecun_uniform(rng, n_in, n_out):
    """Variance 1 / n_in, which keeps that of the sums (LeCun et al., 1998)."""
    bound = math.sqrt(3.0 / n_in)
    return rng.uniform(-bound, bound, (n_in, n_out))
