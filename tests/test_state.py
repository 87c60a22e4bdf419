"""What training changes: patience, the best epoch, and the curves."""

import copy

import numpy as np

from skbackprop._fit.state import Best, History, Patience


def test_patience():
    patience = Patience(2, margin=0.1)
    assert [patience.ends_with(s) for s in (1.0, 1.05, 1.2, 1.25, 1.3)] == [False, False, False, False, True]
    assert not Patience(np.inf, 0.0).ends_with(-1.0)


def test_the_best_is_a_copy_and_ties_go_to_the_latest():
    best, theta = Best(), np.array([1.0])
    best.offer(0.5, 1, theta, keep=True)
    theta[0] = 2.0
    assert best.theta[0] == 1.0
    best.offer(0.5, 2, theta, keep=True)
    assert (best.epoch, best.theta[0]) == (2, 2.0)
    best.offer(0.4, 3, theta, keep=True)
    assert best.epoch == 2


def test_the_curves_of_a_copy_grow_alone():
    history = History([1.0], [2.0])
    copied = copy.deepcopy(history)
    copied.loss_curve.append(0.5)
    copied.validation_scores.append(3.0)
    assert history == History([1.0], [2.0])
    assert copied == History([1.0, 0.5], [2.0], [3.0])
