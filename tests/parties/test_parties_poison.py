"""Accept 4: whatever a site puts into its bucket, the round goes on by quorum, and the operator sees who and why."""

from __future__ import annotations

import logging
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from konsil.federation.payload import table_of
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Finish

MIB = 1 << 20


def pickled() -> bytes:
    """A pickle that would run a command where somebody unpickles it."""

    class Bomb:
        def __reduce__(self) -> Any:
            import os

            return os.system, ("touch /tmp/konsil-was-here",)

    return pickle.dumps(Bomb())


def zip_bomb() -> bytes:
    """A zip of a few kilobytes that would unpack to 64 MiB."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(64 * MIB))
    return packed.getvalue()


def giant_header() -> bytes:
    """safetensors whose header claims to be eight exabytes long."""
    return (1 << 63).to_bytes(8, "little") + b"{}"


POISON = {"pickle": pickled, "zip bomb": zip_bomb, "giant header": giant_header, "nothing": bytes}


@contextmanager
def little_memory() -> Iterator[None]:
    """AssertionError if more than 32 MiB were needed: nothing is unpacked, and nothing is reserved on a claim."""
    tracemalloc.start()
    yield
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 32 * MIB


def post_bytes(world: Any, site: str, number: int, content: bytes) -> None:
    """An update with an honest, signed manifest around a payload that is none."""
    box = world.mailbox(site)
    base = {letter.slot: letter for letter in box.letters()}[Slot(Kind.global_, "centre", number - 1)]
    facts = {"cases": 3, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    table = table_of(box.read_tensors(base))
    box._post(Slot(Kind.update, site, number), BytesIO(content), table, ["centre"], facts)


@pytest.mark.parametrize(("name", "strategy"), [*((name, "fedavg") for name in POISON), ("pickle", "median")])
def test_bytes_that_are_no_update_are_refused_and_named(
    make_world: Callable[..., Any], name: str, strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(compare_with_local=False, strategy=strategy, rounds=2)
    world.work_until(lambda: world.newest() == 1)
    content = POISON[name]()
    post_bytes(world, "B", 2, content)
    caplog.set_level(logging.WARNING)
    with little_memory():
        world.work("centre", "A", "C")
    assert all(isinstance(step, Finish) for step in world.work().values())
    refused = world.summary()["participation"]["B"]["refused"] or world.summary()["refused"]
    assert refused, "the operator sees why"
    assert "B" in caplog.text or name == "nothing"
    assert world.summary()["rounds"][1]["sites"].keys() == {"A", "C"}
    assert "round 2" in world.summary()["sentence"]
    assert "Finished with fewer sites than planned" in world.page()
    assert np.isfinite(world.final()["w"]).all()


def test_an_object_that_is_no_message_is_named_and_the_round_goes_on(make_world: Callable[..., Any]) -> None:
    """A site wrote something else in its place: there is no update, and the report says what lies there."""
    world = make_world(compare_with_local=False, rounds=2)
    world.work_until(lambda: world.newest() == 1)
    key = "lines-1/rounds/0002/updates/B/manifest-" + "0" * 64 + ".json"
    world.store.put("site-b", key, pickled())
    world.work("centre", "A", "C")
    world.pass_time(86400)
    world.work("centre", "A", "C")
    world.work()
    assert any("rounds/0002/updates/B" in found["message"] for found in world.summary()["refused"])
    assert world.summary()["participation"]["B"]["missed"] == [2]


def test_a_thousandfold_update_without_a_rule_against_it_is_averaged_and_can_be_excluded(
    make_world: Callable[..., Any],
) -> None:
    """FedAvg alone does not see scaling; the operator does, by the loss, and takes the site out."""
    from konsil.federation.control import Action
    from konsil.parties.steering import say

    world = make_world(compare_with_local=False, rounds=4)
    world.spoil("B", lambda model, number: {**model, "w": model["w"] * np.float32(1000 if number == 2 else 1)})
    world.work_until(lambda: world.newest() == 2)
    say(world.party("centre"), Action.EXCLUDE, site="B", why="its update of round 2 was a thousand times too long")
    world.work()
    assert [sorted(row["sites"]) for row in world.summary()["rounds"]] == [
        list("ABC"),
        list("ABC"),
        ["A", "C"],
        ["A", "C"],
    ]
    assert "a thousand times too long" in world.page()
