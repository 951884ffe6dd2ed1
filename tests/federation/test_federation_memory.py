"""Models are held once: neither opening nor averaging keeps a second one."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from konsil.federation.payload import Chunk, Gathering, TensorSource, table_of
from konsil.federation.strategies.contribution import Contribution, Spec
from konsil.federation.strategies.fedavg import FedAvg

COUNT, SIZE = 10, 200_000
MODEL = {f"t{number}": np.full(SIZE, number + 0.5, np.float32) for number in range(COUNT)}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def opened(gathering: Gathering) -> None:
    source, sink = TensorSource(MODEL), gathering.sink()
    while block := source.read(8192):
        sink.write(block)
    sink.close()


def test_opened_tensors_go_with_their_last_user(no_collector):
    gathering = Gathering(table_of(MODEL))
    opened(gathering)
    tensors = gathering.tensors()
    assert all(np.array_equal(tensors[name], MODEL[name]) for name in MODEL)
    held = weakref.ref(tensors["t0"].base if tensors["t0"].base is not None else tensors["t0"])
    del tensors, gathering
    assert held() is None


def test_opening_needs_the_model_and_nothing_more():
    tracemalloc.start()
    gathering = Gathering(table_of(MODEL))
    opened(gathering)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * COUNT * SIZE + (1 << 18)


@pytest.mark.parametrize("sites", [1, 5])
def test_averaging_needs_the_sum_and_one_tensor(sites):
    specs = {name: Spec(array.shape, "float32") for name, array in MODEL.items()}

    def chunks() -> Iterator[Chunk]:
        for name, array in MODEL.items():
            for begin in range(0, SIZE, 10_000):
                yield name, begin, array[begin : begin + 10_000]

    tracemalloc.start()
    made = FedAvg().combine([Contribution(str(site), site + 1, chunks) for site in range(sites)], specs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(np.array_equal(made[name], MODEL[name]) for name in MODEL)
    assert peak < 8 * COUNT * SIZE + 4 * SIZE + (1 << 18)  # the whole mean beside the whole sum would be a half more
