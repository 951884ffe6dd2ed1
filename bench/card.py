"""A federation by the default recipe on one graphics card: two sites of phantoms at 1 mm take turns on it.

The learner is as a charter has it that sets nothing: planned patch and batch, 250 + 50 batches a round, deep
supervision, mixed precision, compiled, nnU-Net's augmentation. So it is `konsil simulate` with figures: seconds of
every round of every site, what torch holds of the card after it, what it held at most, and seconds to segment the test
images.

    python bench/card.py --json build/bench/card.json              on a GPU, minutes
    python bench/card.py --batches 2 --rounds 1                    a taste of it
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learn.cases import LESIONS
from learn.real_size import real_size

from konsil.cohort.adopt import adopt
from konsil.cohort.folder import SiteFolder
from konsil.federation.charter import parse_charter
from konsil.files import write_json
from konsil.parties.simulation import Simulation
from konsil.types import Json

GB = 1e9


def held() -> Json:
    """GB of the card that torch uses, has reserved, and had used at most; nothing without a card."""
    import torch

    if not torch.cuda.is_available():
        return {}
    return {
        "allocated_gb": torch.cuda.memory_allocated() / GB,
        "reserved_gb": torch.cuda.memory_reserved() / GB,
        "peak_gb": torch.cuda.max_memory_allocated() / GB,
    }


def watched(note: Callable[[str, Json], None]) -> None:
    """From now on every round and every evaluation of nnU-Net in this process is noted."""
    from konsil.learners.nnunet.learner import NnUNet

    for kind in ("train", "evaluate"):
        honest = getattr(NnUNet, kind)

        def timed(learner: Any, *given: Any, _kind: str = kind, _honest: Any = honest, **how: Any) -> Any:
            began = time.monotonic()
            found = _honest(learner, *given, **how)
            facts: Json = {"site": learner.home.name, "seconds": time.monotonic() - began, **held()}
            if _kind == "train":
                facts |= {"round": given[3], "steps": found.steps, **found.metrics}
            note(_kind, facts)
            return found

        setattr(NnUNet, kind, timed)


def main() -> None:
    """Make the patients, let the sites train, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here, after every deed")
    parser.add_argument("--made", type=Path, help="keep the phantoms here; they are made once")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", type=int, default=250)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    figures: Json = {"train": [], "evaluate": []}

    def note(kind: str, facts: Json) -> None:
        figures[kind].append(facts)
        if chosen.json:
            write_json(chosen.json, figures)

    with tempfile.TemporaryDirectory() as folder:
        work, cohorts = Path(folder), {}
        for site in "AB":
            root = SiteFolder(work / "homes" / site).cohort("phantoms").path
            pairs = real_size(chosen.made or work / "made", site)
            cohorts[site] = adopt(
                pairs, name="phantoms", channels=LESIONS["channels"], labels=LESIONS["labels"], root=root, seed=0
            ).root
        settings = {} if chosen.batches == 250 else {"batches_per_epoch": chosen.batches, "validation_batches": 1}
        charter = {"run": "card", "sites": ["A", "B"], "rounds": chosen.rounds, "seed": 1, "data": LESIONS}
        learner = {"name": "nnunet", "settings": settings}
        watched(note)
        Simulation(
            parse_charter({**charter, "learner": learner, "compare_with_local": False}), cohorts, work / "run"
        ).run(lambda name, step: logging.info("%s: %s", name, type(step).__name__))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
