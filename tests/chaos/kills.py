"""Kill anything at any time: the model comes out the same, bit for bit.

    python tests/chaos/kills.py --kills 100 --seed 1 [--secure]

Centre, three sites and the store's server work as processes over a federation of five rounds. Each of them is killed
with SIGKILL again and again, parties at seeded steps (tests/chaos/verb.py), the server at seeded times, and started
anew. A federation that ends before all kills were done is followed by another. Every one has to end with the weights of
a run that nobody disturbed, at every party, and with the same sentence. `--secure`: with masked updates.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos.town import CASES, CENTRE, Town

PARTIES = (CENTRE, *CASES)
STEPS = 60
"""A party dies within so many moments of its life; a whole life of five rounds has some hundreds."""
GIVE_UP_S = 600.0


@dataclass
class Chaos:
    """One federation with `kills` deaths at most, drawn from `seed`; `clocks`: party → seconds its clock is ahead."""

    town: Town
    kills: int
    seed: int
    killed: Counter[str] = field(default_factory=Counter)
    clocks: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Let the federation work to its end. AssertionError if a process fails otherwise than by being killed."""
        self.draw = random.Random(self.seed)
        self.next_store_kill = time.monotonic() + self.draw.uniform(0.5, 3)
        deadline = time.monotonic() + GIVE_UP_S
        self.town.start_store()
        try:
            for name in PARTIES:
                self.start(name)
            working = set(PARTIES)
            while working:
                assert time.monotonic() < deadline, f"not done after {GIVE_UP_S:.0f} s: {sorted(working)}"
                working = {name for name in working if not self.is_done(name)}
                self.tempt_store()
                time.sleep(0.02)
        finally:
            self.town.end()

    @property
    def left(self) -> int:
        """Deaths that may still come, those that are already decided on not counted."""
        return self.kills - self.killed.total()

    def start(self, name: str) -> None:
        """Start a party, to die at some step while there are deaths left."""
        fate = {"CHAOS_DIE_AT": str(self.draw.randint(1, STEPS))} if self.left > 0 else {}
        clock = {"CHAOS_CLOCK_S": self.clocks[name]} if name in self.clocks else {}
        self.town.start(name, **fate, **clock)

    def is_done(self, name: str) -> bool:
        """Whether a party has ended by itself; one that was killed is started again."""
        code = self.town.processes[name].poll()
        if code is None:
            return False
        if code == -signal.SIGKILL:
            self.killed[name] += 1
            self.start(name)
            return False
        assert code == 0, f"{name} ended with {code}:\n" + self.town.log(name).read_text()[-3000:]
        return True

    def tempt_store(self) -> None:
        """Kill the server when its time has come; it is away for up to a second."""
        if self.left <= 0 or time.monotonic() < self.next_store_kill:
            return
        self.town.kill("store")
        self.killed["store"] += 1
        time.sleep(self.draw.uniform(0, 1))
        self.town.start_store()
        self.next_store_kill = time.monotonic() + self.draw.uniform(1, 6)


def same_bits(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two models have the same tensors, bit for bit."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


@dataclass(frozen=True)
class Calm:
    """A town before anything has happened, and what comes of it if nobody disturbs it."""

    town: Town
    model: Mapping[str, Any]
    sentence: str

    @classmethod
    def of(cls, folder: Path, *, secure: bool = False) -> Calm:
        """Found the town below `folder` and run its federation once."""
        town = Town.found(folder / "town", secure=secure)
        calm = town.copy(folder / "calm")
        Chaos(calm, 0, 0).run()
        return cls(town, calm.models()[CENTRE], calm.sentence())

    def compare(self, town: Town) -> None:
        """AssertionError unless the federation of `town` ended like the calm one, at every party."""
        for name, model in town.models().items():
            assert same_bits(model, self.model), f"other weights at {name}"
        assert town.sentence() == self.sentence, town.sentence()


def check(calm: Calm, kills: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so often, over as many federations as it takes; whom and how often. AssertionError on a difference."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        seed += 1
        chaos = Chaos(calm.town.copy(folder / f"run-{seed}"), kills - killed.total(), seed)
        chaos.run()
        killed += chaos.killed
        calm.compare(chaos.town)
        print(f"seed {seed}: {chaos.killed.total()} kills, {killed.total()} in all; same bits", flush=True)
    return killed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--secure", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="konsil-chaos-") as folder:
        killed = check(Calm.of(Path(folder), secure=given.secure), given.kills, given.seed, Path(folder))
    print(f"{killed.total()} kills ({dict(killed)}) in {time.monotonic() - began:.0f} s: same bits every time")


if __name__ == "__main__":
    main()
