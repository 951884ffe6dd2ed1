"""A learner in microseconds, so that what is left of a round is orchestration: deterministic, nothing remembered.

Each training draws the weights towards a point that the site and the round fix, by real arithmetic in float32.
`pause_s` of the settings lengthens it. When a training began and ended is written beside the run (`trainings.jsonl`,
seconds since the epoch), for the bench and for tests; a training that was cut off leaves no line. The one that is under
way is in `training.json` (round, pid), and does not end while a file `hold` lies in the home.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from konsil.evaluation.metrics import CaseMetrics
from konsil.learners.protocol import Update

SIZE = 4


class Instant:
    """See above; made by the registry like any learner."""

    abilities: frozenset[str] = frozenset()

    def __init__(self, settings: dict[str, Any], *, home: Path, run: str, **rest: Any) -> None:
        self.home, self.run, self.pause_s = home, run, float(settings.get("pause_s", 0.0))
        self.seed = (home.parent if home.name == "home" else home).name.lower().encode()  # a stack's home, or any other

    def fingerprint(self, cohort: Any) -> dict[str, Any]:
        return {"cases": len(cohort.split("train"))}

    def plan(self, fingerprints: dict[str, Any]) -> dict[str, Any]:
        return {"cases": sum(found["cases"] for found in fingerprints.values()), "size": SIZE}

    def prepare(self, cohort: Any, recipe: Any) -> None:
        return

    def initial(self, recipe: Any) -> dict[str, Any]:
        return {"w": np.random.default_rng(1).normal(size=recipe["size"]).astype(np.float32)}

    def train(self, cohort: Any, recipe: Any, tensors: Any, round: int) -> Update:  # noqa: A002
        began, folder = time.time(), self.home / "runs" / self.run
        part = folder / ".training.json"
        part.write_text(json.dumps({"round": round, "pid": os.getpid()}))
        part.replace(folder / "training.json")
        time.sleep(self.pause_s)
        while (self.home / "hold").exists():
            time.sleep(0.05)
        made = drawn(tensors["w"], [round, *self.seed])
        line = {"round": round, "began": began, "ended": time.time()}
        with (folder / "trainings.jsonl").open("a") as journal:
            journal.write(json.dumps(line) + "\n")
        return Update({"w": made}, len(cohort.split("train")), 1, {"loss": float(np.square(made).mean())})

    def baseline(self, cohort: Any, recipe: Any, tensors: Any) -> dict[str, Any]:
        return {"w": drawn(tensors["w"], [0, *self.seed])}

    def evaluate(self, cohort: Any, recipe: Any, tensors: Any, split: Any) -> list[CaseMetrics]:
        score = {"lesion": float(1 / (1 + np.square(tensors["w"]).mean()))}
        return [CaseMetrics(str(case), score, score, {"lesion": None}, score, score) for case in cohort.split(split)]

    def save(self, recipe: Any, tensors: Any, folder: Path) -> None:
        np.savez(folder / "instant.npz", **tensors)


def drawn(weights: Any, seed: list[int]) -> Any:
    """The weights, a third of the way to a point that `seed` fixes."""
    target = np.random.default_rng(seed).normal(size=weights.shape).astype(np.float32)
    return weights + (target - weights) / np.float32(3)
