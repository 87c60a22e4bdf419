"""What is said of rows that were not scaled."""

import warnings

import numpy as np
import pytest

from skbackprop._fit import scales
from skbackprop._fit.device import HOST


def said(X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scales.warn_unscaled(X, HOST)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranges_alone_rule_out_only_what_is_no_reason_to_warn(dtype, rng, monkeypatch):
    tables = []
    for _ in range(300):
        n, p = rng.integers(2, 40), rng.integers(1, 6)
        X = rng.standard_t(1 + rng.integers(5), size=(n, p)) * rng.choice([0.0, 1.0, 10.0, 1e-4, 1e4, 700.0], p)
        tables.append((X + rng.choice([0.0, 0.0, 1.0, 100.0, 1e6], p)).astype(dtype))
    quick = [said(X) for X in tables]
    monkeypatch.setattr(scales, "_are_near", lambda *ranges: False)
    assert [said(X) for X in tables] == quick
    assert 30 < sum(map(bool, quick)) < 270
