"""One party of the exchange in a process of its own: konsil's centre or site with a learner that adds a constant.

Everything but the learner and the cohort is what `konsil run` and `konsil take-part` do: mailbox, rules, envelope,
store, loop. When a round was aggregated is written to $BENCH_OUT, with the deviation of the final model.

    python konsil_party.py HOME RUN PLACE ROUNDS    PLACE: number of the site, -1 = the centre
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model import delta_for, largest_error, make_state

from konsil.evaluation.metrics import CaseMetrics
from konsil.federation.charter import Charter
from konsil.federation.mailbox import open_mailbox
from konsil.federation.steps import Aggregate, Step
from konsil.learners.protocol import Update
from konsil.parties.centre import CentreParty
from konsil.parties.loop import go_on
from konsil.parties.memory import keep_memory
from konsil.parties.party import Party
from konsil.parties.site import SiteParty
from konsil.settings import Settings
from konsil.types import Json, Tensors


@dataclass(frozen=True)
class OneCase:
    """A cohort with one case in every split."""

    name: str
    channels: tuple[str, ...] = ("T1w", "FLAIR")
    labels: Mapping[str, int] = field(default_factory=lambda: {"background": 0, "lesion": 1})

    def split(self, name: str) -> list[int]:
        """The cases of a split."""
        return [0]


class Adder:
    """Adds the constant of its site."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.checked: Json = {}

    def fingerprint(self, cohort: OneCase) -> Json:
        """Nothing to say."""
        return {"cases": 1}

    def plan(self, fingerprints: Mapping[str, Json]) -> Json:
        """Nothing to plan."""
        return {"sites": len(fingerprints)}

    def prepare(self, cohort: OneCase, recipe: Json) -> None:
        """Nothing to prepare."""

    def initial(self, recipe: Json) -> Tensors:
        """The first weights."""
        return make_state()

    def train(self, cohort: OneCase, recipe: Json, tensors: Tensors, round: int) -> Update:  # noqa: A002
        """New arrays, as a learner hands in whose network goes on living."""
        return Update({name: array + delta_for(self.place) for name, array in tensors.items()}, 1, 1)

    def evaluate(self, cohort: OneCase, recipe: Json, tensors: Tensors, split: str) -> list[CaseMetrics]:
        """A figure, so that the run ends as others do."""
        one = {"lesion": 1.0}
        return [CaseMetrics("sub-1", one, one, one, one, one)]

    def save(self, recipe: Json, tensors: Tensors, folder: Path) -> None:
        """Compare the final model with what must have come out."""
        hashed = hashlib.sha256()
        for array in tensors.values():
            hashed.update(memoryview(array).cast("B"))
        error = largest_error(dict(tensors), recipe["sites"], int(sys.argv[4]))
        self.checked = {"max_abs_err": error, "final_sha256": hashed.hexdigest()}


class Stamps:
    """When the centre began its first round and ended each: told by the loop which step comes next."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._aggregating = False

    def show(self, step: Step) -> None:
        """Note the end of an aggregation (the global model is posted), and the first wait for updates."""
        if self._aggregating or (not self.times and step.phase == "rounds"):
            self.times.append(time.time())
        self._aggregating = isinstance(step, Aggregate)


def main() -> None:
    """Work to the end of the run."""
    home, run, place = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if place >= 0:
        keep_memory()
    mailbox, learner, stamps = open_mailbox(home, run), Adder(place), Stamps()

    def learner_for(charter: Charter) -> Any:
        return learner

    def cohort_for(name: str) -> Any:
        return OneCase(name)

    party: Party = (
        CentreParty(home, mailbox, learner_for) if place < 0 else SiteParty(home, mailbox, learner_for, cohort_for)
    )
    ending = go_on(party, patience_s=3600, poll_s=Settings().poll_s, show=stamps.show)
    if ending.state != "finished":
        raise SystemExit(f"{ending.state}: {ending.sentence}")
    if place < 0:
        out = Path(os.environ["BENCH_OUT"])
        part = out.with_suffix(".part")
        part.write_text(json.dumps({"stamps": stamps.times, **learner.checked}))
        part.rename(out)


if __name__ == "__main__":
    main()
