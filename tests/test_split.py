"""The validation split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skbackprop._fit.split import validation_shares, validation_split


@settings(max_examples=100, deadline=None, derandomize=True)
@given(codes=st.lists(st.integers(0, 4), min_size=2, max_size=80), fraction=st.floats(0.01, 0.99), data=st.data())
def test_split_is_a_stratified_partition(codes, fraction, data):
    codes = np.asarray(codes)
    n = len(codes)
    weighted = data.draw(st.booleans())
    weights = np.asarray(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n))) if weighted else None
    eligible = codes if weights is None else codes[weights > 0]
    sizes = np.bincount(eligible, minlength=5)
    spare = int(np.maximum(sizes - 1, 0).sum())
    rng = np.random.RandomState(0)
    if spare == 0:
        with pytest.raises(ValueError, match="needs a validation row"):
            validation_split(rng, n, fraction, weights, codes)
        return
    train, validation = validation_split(rng, n, fraction, weights, codes)
    assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
    assert len(validation) == min(max(1, round(fraction * len(eligible))), spare)
    if weights is not None:
        assert (weights[validation] > 0).all()
    taken = np.bincount(codes[validation], minlength=5)
    assert (taken[sizes > 0] < sizes[sizes > 0]).all()  # each class keeps a row to train on
    exact = len(validation) * sizes / sizes.sum()
    if (exact <= np.maximum(sizes - 1, 0)).all():
        assert (np.abs(taken - exact) < 1).all()


def test_split_of_a_regression_is_random_and_as_large_as_asked():
    train, validation = validation_split(np.random.RandomState(0), 100, 0.25, None, None)
    assert (len(train), len(validation)) == (75, 25)
    other = validation_split(np.random.RandomState(1), 100, 0.25, None, None)[1]
    assert set(validation) != set(other)


@pytest.mark.parametrize("n_classes", [1, 3, 40, 500])
def test_split_takes_the_first_rows_of_each_class_in_a_random_order(n_classes):
    """Of a random order, whatever the number of classes, and largest remainders first."""
    rng = np.random.default_rng(n_classes)
    for fraction in (0.1, 0.5, 0.9):
        codes = rng.integers(0, n_classes, 600)
        found = validation_split(np.random.RandomState(0), 600, fraction, None, codes)[1]
        sizes = np.unique(codes, return_counts=True)[1]
        take = validation_shares(sizes, fraction, 600)
        order = np.random.RandomState(0).permutation(600)
        expected = [order[codes[order] == c][:k] for c, k in zip(np.unique(codes), take, strict=True)]
        assert_array_equal(found, np.sort(np.concatenate(expected)))


def test_shares_go_to_the_largest_remainders_one_by_one():
    rng = np.random.default_rng(0)
    for _ in range(100):
        sizes, fraction = rng.integers(1, 8, rng.integers(1, 30)), rng.random()
        n = min(max(1, round(fraction * sizes.sum())), (sizes - 1).sum())
        if n == 0:
            continue
        share = np.minimum(n * sizes / sizes.sum(), sizes - 1)
        take = np.floor(share).astype(int)
        while take.sum() < n:
            take[np.argmax(np.where(take < sizes - 1, share - take, -np.inf))] += 1
        assert_array_equal(validation_shares(sizes, fraction, sizes.sum()), take)
