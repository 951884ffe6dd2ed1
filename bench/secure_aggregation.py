"""What secure aggregation costs: CPU-seconds and bytes for a model of 31.2 M float32, beside the plain mean.

    python bench/secure_aggregation.py [--numbers 31200000] [--sites 4 8] [--repeat 3] [--json PATH]

The steps of one round, without store and encryption, which are the same with and without masks: a site masks its
update; the centre adds the masked updates up, and takes the masks off with one site missing. CPU-seconds are medians,
with the range over the repetitions; `over_copy` is a site's masking over the time to copy the model's bytes 10 times,
taken in the same run. Memory is how far the largest resident size of a fresh process that has the trained and the
global model and masks lies above that of the interpreter, over the model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from konsil.federation.secure.keys import Group, MaskingKey, RoundKeys
from konsil.federation.secure.masked import COMMITMENTS, SHARES, Masker
from konsil.federation.secure.masks import Masks
from konsil.federation.secure.opening import Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.secure.shares import opened_row

RUN, NUMBER, TENSORS = "bench-run", 1, 108
Model = dict[str, Any]


def model(numbers: int, seed: int) -> Model:
    """A model in 108 tensors."""
    draw = np.random.default_rng(seed)
    return {f"t{n:03d}": draw.normal(0, 0.05, numbers // TENSORS).astype(np.float32) for n in range(TENSORS)}


def measured(work: Callable[[], Any], repeat: int) -> dict[str, Any]:
    """Median and range of CPU-seconds of this process."""
    found = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return {"median": round(statistics.median(found), 3), "range": [round(min(found), 3), round(max(found), 3)]}


class Round:
    """The keys of a group of so many sites, and a site's part."""

    def __init__(self, sites: int) -> None:
        self.names = [f"S{n:02d}" for n in range(sites)]
        self.own = {name: MaskingKey.generate() for name in self.names}
        self.group = Group(RUN, {name: key.public for name, key in self.own.items()})
        self.threshold, self.ring = sites // 2 + 1, FixedPoint(20 * sites, 8.0)

    def keys(self, name: str) -> RoundKeys:
        """A site's keys of the round."""
        return RoundKeys(self.own[name], self.group, name, NUMBER)

    def masked(self, name: str, sent: Model, base: Model) -> Model:
        """A site's update."""
        return Masker(self.keys(name), self.ring, self.threshold).masked(sent, base, 20)


def added(into: Model, update: Model) -> None:
    """What the centre does with one update."""
    for name, array in into.items():
        np.add(array, update[name], out=array)


def costs(sites: int, numbers: int, repeat: int) -> dict[str, Any]:
    """The figures for one number of sites; the last site's update is missing."""
    base, sent, circle = model(numbers, 1), model(numbers, 2), Round(sites)
    masking = measured(lambda: circle.masked(circle.names[0], sent, dict(base)), repeat)
    there = circle.names[:-1]
    total = {name: np.zeros(array.shape, np.uint32) for name, array in base.items()}
    held: dict[str, Model] = {}
    adding = 0.0
    for name in there:
        update = circle.masked(name, sent, dict(base))
        held[name] = {SHARES: update[SHARES], COMMITMENTS: update[COMMITMENTS]}
        began = time.process_time()
        added(total, update)
        adding += time.process_time() - began
    asked = Sum(RUN, NUMBER, tuple(circle.names), tuple(there))
    promised = {name: parts[COMMITMENTS] for name, parts in held.items()}
    revealed, sent_bytes = {}, 0
    for place, helper in enumerate(circle.names[: circle.threshold]):
        rows = {s: opened_row(held[s][SHARES][place].tobytes(), circle.keys(helper), s) for s in there}
        content = asked.chosen(rows)
        sent_bytes = len(json.dumps(content))
        revealed[helper] = asked.read(content, helper, promised)
    opening = measured(lambda: opened(total, asked, revealed, circle.threshold, promised), 1)
    right = np.abs(circle.ring.mean(total["t000"], 20 * len(there)) - (sent["t000"] - base["t000"].astype(float))).max()
    if right > 0.5 / (circle.ring.scale * 20) + 1e-12:
        raise SystemExit("the sum is not the plain one")
    return {
        "site_masking_cpu_s": masking,
        "centre_adding_cpu_s": round(adding, 3),
        "centre_opening_cpu_s": opening["median"],
        "masks_taken_off": len(there) * 2,
        "bytes_more_per_update": sum(array.nbytes for array in held[there[0]].values()),
        "bytes_roll": 4 * len(there) * sites * (16 * sites + 16) // 3,
        "bytes_reveal": sent_bytes,
        "largest_error": float(right),
    }


def opened(total: Model, asked: Sum, revealed: Any, threshold: int, promised: Model) -> None:
    """What the centre does with the reveals."""
    masks = Masks(asked.masks(revealed, threshold, promised))
    for array in total.values():
        masks.apply(array)


def copying(numbers: int, repeat: int) -> dict[str, Any]:
    """CPU-seconds to copy the model's bytes ten times: what this machine's memory is worth."""
    source = np.ones(numbers, np.float32)
    target = np.empty_like(source)
    return measured(lambda: [np.copyto(target, source) for _ in range(10)], repeat)


def memory(numbers: int) -> float:
    """The largest resident size of a site that masks, over the model's bytes; the interpreter is taken off."""
    found = subprocess.run(
        [sys.executable, __file__, "--memory", str(numbers)], check=True, capture_output=True, text=True
    )
    return round(float(found.stdout), 2)


def resident(field: str) -> int:
    """kB that this process holds (VmRSS), or has held at the most (VmHWM); ru_maxrss would begin with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def show_memory(numbers: int) -> None:
    """The child of `memory`."""
    before = resident("VmRSS")
    circle = Round(4)
    base, sent = (
        {f"t{n:03d}": np.full(numbers // TENSORS, value, np.float32) for n in range(TENSORS)} for value in (0.5, 0.6)
    )
    circle.masked("S00", sent, base)
    print((resident("VmHWM") - before) * 1024 / (4 * numbers))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=31_200_000)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.memory:
        show_memory(given.memory)
        return
    copied = copying(given.numbers, given.repeat)
    found: dict[str, Any] = {"numbers": given.numbers, "copy_10_cpu_s": copied, "load": os.getloadavg()[0]}
    found["site_rss_over_model"] = memory(given.numbers)
    found["sites"] = {str(count): costs(count, given.numbers, given.repeat) for count in given.sites}
    for row in found["sites"].values():
        row["over_copy"] = round(row["site_masking_cpu_s"]["median"] / copied["median"], 1)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
