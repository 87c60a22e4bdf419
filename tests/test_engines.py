"""What all engines have in common: the signatures of the contract."""

import inspect

import pytest

from skbackprop._engines.compiled import CompiledEngine
from skbackprop._engines.engine import Engine, LocalEngine
from skbackprop._engines.reference import ReferenceEngine


def methods(contract):
    return [name for name in dir(contract) if callable(getattr(contract, name)) and not name.startswith("_")]


@pytest.mark.parametrize("name", methods(LocalEngine))
@pytest.mark.parametrize("engine", [CompiledEngine, ReferenceEngine])
def test_signatures_are_those_of_the_contract(engine, name):
    assert inspect.signature(getattr(engine, name)) == inspect.signature(getattr(LocalEngine, name))


def test_the_contract_has_all_public_methods_of_the_engines():
    assert methods(CompiledEngine) == methods(ReferenceEngine) == methods(LocalEngine)


def test_a_clusters_engine_is_called_alike():
    """Its rows are no arrays, so that annotations may differ."""
    pytest.importorskip("distributed")
    from skbackprop._dask.engine import ClusterEngine

    assert methods(ClusterEngine) == methods(Engine) != []
    for name in methods(Engine):
        contract, found = (inspect.signature(getattr(cls, name)).parameters for cls in (Engine, ClusterEngine))
        assert [(p.name, p.kind, p.default) for p in found.values()] == [
            (p.name, p.kind, p.default) for p in contract.values()
        ]
