"""What only a card can show: mixed precision, compiling, the same weights again, and a card that others have filled.

Skipped where there is none. Some take nearly all of the card's memory: nobody else should need it meanwhile.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from konsil.errors import Exhausted
from konsil.federation.charter import parse_charter
from konsil.learners.nnunet import keepsake
from konsil.learners.registry import create
from konsil.parties.loop import Clock, go_on
from konsil.trust.roster import CENTRE
from tests.learners.conftest import DATA, SETTINGS
from tests.learners.test_nnunet_bad_input import CHARTER, Hospitals, takes_part

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
BATCHES = {"batches_per_epoch": 10, "augmentation": "default"}  # a new gradient scaler skips the first few
LIKE_NNUNET = {**BATCHES, "device": "auto", "augmentation_workers": 2}
DETERMINISTIC = {**BATCHES, "device": "cuda", "deterministic": True}


@pytest.fixture(autouse=True)
def _compiled_anew() -> None:
    """torch counts how often it compiled one function in a process, and gives up after some times."""
    torch._dynamo.reset()


def site(make_cohort, learner_for, **settings: Any) -> Any:
    home, cohort = make_cohort("A")
    learner = learner_for(home, **settings)
    recipe = learner.plan({"A": learner.fingerprint(cohort)})
    learner.prepare(cohort, recipe)
    return home, cohort, recipe, learner.initial(recipe)


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_card_trains_as_nnunet_would(make_cohort, make_learner):
    """Compiled, in mixed precision, with worker processes: the same names and shapes are handed in as from a CPU."""
    home, cohort, recipe, weights = site(make_cohort, make_learner, **LIKE_NNUNET)
    learner = make_learner(home, **LIKE_NNUNET)
    first = learner.train(cohort, recipe, weights, 1)
    second = learner.train(cohort, recipe, first.tensors, 2)
    trainer = learner._session.trainer
    assert trainer.device.type == "cuda"
    assert hasattr(trainer.network, "_orig_mod")  # torch.compile has wrapped it
    assert {name: array.shape for name, array in second.tensors.items()} == {n: a.shape for n, a in weights.items()}
    assert not same(second.tensors, first.tensors)
    kept = keepsake.load(home / "runs" / "tiny-run" / "nnunet" / "federated", recipe["sha256"], before=3)
    assert kept is not None
    assert kept.scaler["scale"] > 0
    assert kept.momentum


@pytest.mark.parametrize("compiled", [False, True])
def test_a_seed_gives_the_same_weights_again(make_cohort, make_learner, compiled: bool):
    """Two trainings, a round asked twice, and a process that starts cold at round 2."""
    settings = {**DETERMINISTIC, "compiled": compiled}
    home, cohort, recipe, weights = site(make_cohort, make_learner, **settings)
    one, other = make_learner(home, **settings), make_learner(home, **settings)
    first = one.train(cohort, recipe, weights, 1).tensors
    assert same(other.train(cohort, recipe, weights, 1).tensors, first)
    assert same(one.train(cohort, recipe, weights, 1).tensors, first)
    second = one.train(cohort, recipe, first, 2).tensors
    assert same(make_learner(home, **settings).train(cohort, recipe, first, 2).tensors, second)


NEIGHBOUR = """
import sys, torch
left, held, size = int(sys.argv[1]) << 20, [], 1 << 30
free = lambda: torch.cuda.mem_get_info()[0]
while size >= 2 << 20:
    try:
        while free() - left >= size:
            held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    except RuntimeError:  # torch's, or the driver's
        pass
    size //= 2
print("full", free() >> 20, flush=True)
sys.stdin.read()
"""
WIDE = {
    "batches_per_epoch": 3,
    "augmentation": "none",
    "dice_every": 0,
    "network": {"patch_size": [96, 96, 96], "features_per_stage": [32, 64, 64], "n_conv_per_stage": 2, "batch_size": 2},
}
"""A network that needs more than a gigabyte for a batch of patches and next to nothing for itself."""
MIB = 1 << 20
SMALL_CHANGE = 64 * MIB  # workspaces of cuBLAS and cuDNN


@pytest.fixture
def fill() -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """`fill(left)`: another process takes the card's memory but for `left` MiB, and keeps it until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def take(left: int) -> subprocess.Popen[str]:
        torch.cuda.empty_cache()
        other = subprocess.Popen(
            [sys.executable, "-c", NEIGHBOUR, str(left)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        )  # fmt: skip
        started.append(other)
        assert other.stdout is not None
        assert other.stdout.readline().startswith("full")
        assert torch.cuda.mem_get_info()[0] < (left + 64) * MIB
        return other

    yield take
    for other in started:
        go_away(other)


def go_away(other: subprocess.Popen[str]) -> None:
    """The neighbour ends, and the card has its memory back."""
    other.communicate(timeout=120)
    deadline = time.monotonic() + 30
    while torch.cuda.mem_get_info()[0] < torch.cuda.mem_get_info()[1] // 2 and time.monotonic() < deadline:
        time.sleep(0.1)


def used() -> int:
    """Bytes of the card that this process uses for something."""
    gc.collect()
    return torch.cuda.memory_allocated()


@pytest.mark.parametrize(("left", "compiled"), [(0, False), (300, False), (300, True)])
def test_a_card_that_another_process_has_filled(make_cohort, make_learner, fill, left: int, compiled: bool):
    """A sentence; nothing is held meanwhile; with room the round gives the bits that it gives undisturbed."""
    settings = {**DETERMINISTIC, **WIDE, "compiled": compiled}
    home, cohort, recipe, weights = site(make_cohort, make_learner, **settings)
    undisturbed = make_learner(home, **settings)
    first = undisturbed.train(cohort, recipe, weights, 1).tensors
    second = undisturbed.train(cohort, recipe, first, 2).tensors
    del undisturbed
    before = used()
    learner = make_learner(home, **settings)
    assert same(learner.train(cohort, recipe, weights, 1).tensors, first)
    other = fill(left)
    for _ in range(2):
        with pytest.raises(Exhausted, match=r"memory is full, so this round was not trained; .* GiB free") as said:
            learner.train(cohort, recipe, first, 2)
        assert used() <= before + SMALL_CHANGE
        assert torch.cuda.memory_reserved() <= before + SMALL_CHANGE
        assert "gpu_memory_target_gb" in said.value.sentence
    assert not (home / "runs" / "tiny-run" / "nnunet" / "federated" / "0002.safetensors").exists()
    go_away(other)
    assert same(learner.train(cohort, recipe, first, 2).tensors, second)


def test_a_process_that_finds_no_room_for_its_very_context_says_so_too(make_cohort, make_learner, fill):
    """Nothing of CUDA is there yet, and cannot be made: not torch's allocator speaks then, but the driver."""
    settings = {**DETERMINISTIC, **WIDE, "compiled": False}
    home, cohort, recipe, weights = site(make_cohort, make_learner, **settings)
    undisturbed = make_learner(home, **settings).train(cohort, recipe, weights, 1).tensors
    other = fill(0)
    asked = [json.dumps(part) for part in (str(home), {**SETTINGS, **settings}, DATA, recipe, str(cohort.root))]
    process = subprocess.Popen(
        [sys.executable, "-c", COLD, *asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "the GPU's memory is full, so this round was not trained" in process.stdout.readline()
    go_away(other)
    out, _ = process.communicate("room\n", timeout=300)
    assert process.returncode == 0, out
    assert out.strip() == digest(undisturbed)


COLD = """
import json, sys
from pathlib import Path
from konsil.cohort.frozen import read_frozen
from konsil.errors import Exhausted
from konsil.learners.registry import create
from tests.learners.test_nnunet_gpu import digest
home, settings, data, recipe, root = (json.loads(word) for word in sys.argv[1:])
learner = create("nnunet", settings, rounds=2, seed=7, home=Path(home), run="tiny-run", data=data)
weights = learner.initial(recipe)
try:
    learner.train(read_frozen(Path(root)), recipe, weights, 1)
    print("trained", flush=True)
except Exhausted as error:
    print(error.sentence, flush=True)
sys.stdin.readline()
print(digest(learner.train(read_frozen(Path(root)), recipe, weights, 1).tensors))
"""


def digest(tensors: Any) -> str:
    """One word for all bits."""
    found = hashlib.sha256()
    for name, array in tensors.items():
        found.update(name.encode() + array.tobytes())
    return found.hexdigest()


def test_a_site_waits_for_room_and_then_hands_in_its_update(make_cohort, tmp_path: Path, fill, caplog):
    """Real parties: the card is full when round 1 begins, the neighbour goes at the second look, the update arrives."""
    settings = {**SETTINGS, **DETERMINISTIC, **WIDE, "compiled": False, "validation_batches": 0}
    charter = parse_charter({**CHARTER, "learner": {"name": "nnunet", "settings": settings}})
    cohorts = {name: make_cohort(name, splits=("train",), edge=16, seed=1)[1] for name in "ABC"}
    world = Hospitals(tmp_path / "world", charter, places={name: cohort.root for name, cohort in cohorts.items()})
    asked: Any = {"rounds": charter.rounds, "seed": charter.seed, "run": charter.run, "data": DATA}
    for name in world.names:
        world.learners[name] = create("nnunet", settings, home=world.home(name), **asked)  # type: ignore[assignment]
    world.work_until(lambda: world.newest() == 0)
    other, looks, now = fill(300), [0], [0.0]

    def sleep(seconds: float) -> None:
        looks[0], now[0] = looks[0] + 1, now[0] + 10
        if looks[0] == 2:
            go_away(other)

    ending = go_on(world.party("A"), patience_s=100, clock=Clock(lambda: now[0], sleep))
    assert caplog.text.count("the GPU's memory is full, so this round was not trained") == 2
    assert ending.state == "waiting"
    assert "room on this machine" not in ending.sentence
    centre = world.party(CENTRE).mailbox
    update = next(one for one in centre.letters() if (one.slot.kind.name, one.slot.sender) == ("update", "A"))
    own = world.party("A").mailbox
    message = own.read_tensors(next(one for one in own.letters() if one.slot.kind.name == "global_"))
    again = create("nnunet", settings, home=world.home("A"), **asked)
    party = world.party("A")
    party.next()  # a fresh one has not looked yet
    recipe = party.recipe()
    again.prepare(cohorts["A"], recipe)
    assert same(again.train(cohorts["A"], recipe, message, 1).tensors, centre.read_tensors(update))
    takes_part(world)


@pytest.mark.parametrize("left", [0, 24, 100])
def test_a_card_that_is_full_when_images_are_segmented(make_cohort, make_learner, fill, left: int):
    """nnU-Net would wait for ever where the thread that hands it patches finds no room.

    Afterwards a voxel may differ: cuDNN remembers the algorithm that it took for want of room.
    """
    settings = {**DETERMINISTIC, **WIDE, "compiled": False}
    home, cohort, recipe, weights = site(make_cohort, make_learner, **settings)
    learner = make_learner(home, **settings)
    expected = learner.evaluate(cohort, recipe, weights, "test")[0].as_json()
    before = used()
    assert torch.cuda.memory_reserved() <= before + SMALL_CHANGE
    other = fill(left)
    with pytest.raises(Exhausted, match="memory is full, so the images were not segmented"):
        learner.evaluate(cohort, recipe, weights, "test")
    assert used() <= before + SMALL_CHANGE
    assert torch.cuda.memory_reserved() <= before + SMALL_CHANGE
    go_away(other)
    (found,) = learner.evaluate(cohort, recipe, weights, "test")
    assert found.as_json()["predicted_ml"] == pytest.approx(expected["predicted_ml"], abs=0.01)  # of 8 mL


def test_between_rounds_a_site_holds_little_of_the_card(make_cohort, make_learner):
    """Weights and momentum, and next to nothing reserved: a second site on the same card has the room of the first."""
    settings = {**DETERMINISTIC, **WIDE, "compiled": False}
    places = [site(lambda name, at=at: make_cohort(at), make_learner, **settings) for at in "AB"]
    before, learners = used(), []
    for count, (home, cohort, recipe, weights) in enumerate(places, start=1):
        learners.append(make_learner(home, **settings))
        torch.cuda.reset_peak_memory_stats()
        learners[-1].train(cohort, recipe, weights, 1)
        size = sum(array.nbytes for array in weights.values())
        assert torch.cuda.max_memory_allocated() > 1024 * MIB
        assert used() - before <= count * 2 * size + SMALL_CHANGE
        assert torch.cuda.memory_reserved() - before <= count * 2 * size + 2 * SMALL_CHANGE
