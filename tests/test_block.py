"""Blocks of rows, and the order of an epoch."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skbackprop._fit.block import BLOCK_ROWS, Block, epoch_order, output_blocks


def test_order_visits_each_row_once():
    assert_array_equal(epoch_order(np.random.RandomState(0), 5, shuffle=False), range(5))
    shuffled = epoch_order(np.random.RandomState(0), 100, shuffle=True)
    assert_array_equal(np.sort(shuffled), range(100))
    assert (shuffled != np.arange(100)).any()


def test_blocks_are_the_whole(rng):
    n = 2 * BLOCK_ROWS + 3
    rows = Block(np.arange(n)[:, None], np.arange(n), rng.random(n))
    blocks = list(rows.blocks())
    assert [b.n for b in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 3]
    assert_array_equal(np.concatenate([b.Y for b in blocks]), rows.Y)
    assert sum(b.weight_sum for b in blocks) == pytest.approx(rows.weight_sum)
    assert Block(rows.X, rows.Y).weight_sum == n


def test_output_blocks_are_the_whole(monkeypatch):
    X = np.arange(20).reshape(10, 2)
    assert next(output_blocks(X, 3))[1] is X
    monkeypatch.setattr("skbackprop._fit.block.BLOCK_OUTPUTS", 12)
    blocks = list(output_blocks(X, 3))
    assert [(rows.start, rows.stop) for rows, _ in blocks] == [(0, 4), (4, 8), (8, 10)]
    assert_array_equal(np.concatenate([block for _, block in blocks]), X)
    assert [len(block) for _, block in output_blocks(X, 100)] == [1] * 10  # a row at least
    assert [len(block) for _, block in output_blocks(X[:0], 100)] == [0]
