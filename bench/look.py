"""What it costs to look at a run: requests to the store, and memory that is held for as long as somebody watches.

A federation of three sites and a learner that is a formula (`tests/plugins/stage.py`) goes on, on a folder as store.
After some rounds, a tab's view (`plugins.live`) and the triggerer's (`konsil.parties.lookout`) of the centre and of a
site are opened and looked through twice; what they hold then is counted by Python's tracemalloc.

    listings, fetched    requests of the second look, in which nothing is new
    held_kb              what is held after it, by rounds; kb_per_round: from the first to the last of these
    manifest_kb          one verified manifest by itself, with one tensor and with the 108 of nnU-Net's default network

    python bench/look.py --json build/bench/look.json
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from konsil.federation.manifest import Manifest
from konsil.parties.lookout import Lookout
from konsil.storage.folder import FolderStore
from plugins.live import Live
from tests.plugins.stage import Town

RUN, SITES = "looked-at", ("A", "B", "C")
ASKED: Counter[str] = Counter()


def counted(verb: str) -> None:
    """From now on requests of this kind are counted."""
    do = getattr(FolderStore, verb)

    def count(self: FolderStore, *given: Any) -> Any:
        ASKED[verb] += 1
        return do(self, *given)

    setattr(FolderStore, verb, count)


def tab(home: Path) -> Callable[[], Any]:
    """A look as the tab takes it."""
    view = Live(home)
    return lambda: (view.forget(RUN), view.at(RUN))


def triggerer(home: Path) -> Callable[[], Any]:
    """A look as a wait takes it."""
    view = Lookout(home)
    return lambda: view.ready(RUN)


def looked(view: Callable[[Path], Callable[[], Any]], home: Path) -> dict[str, float]:
    """Two looks: requests of the second one, and kB held after it."""
    gc.collect()
    tracemalloc.start(1)
    look = view(home)
    look()
    ASKED.clear()
    look()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"held_kb": round(held / 1e3, 1), "listings": ASKED["list"], "fetched": ASKED["get"]}


def manifest_kb(town: Town, tensors: int, copies: int = 100) -> float:
    """kB of one manifest of an update with so many tensors."""
    party = town.party(RUN, "centre")
    party.look()
    told = next(letter.manifest.as_json() for slot, letter in party.letters.items() if slot.sender == "A")
    names = [f"encoder.stages.{number // 18}.0.convs.{number % 18}.conv.weight" for number in range(tensors)]
    told["tensors"] = {"names": names, "shapes": [[32, 32, 3, 3, 3]] * tensors, "dtypes": ["F32"] * tensors}
    text = json.dumps(told | {"payload_size": 1 << 30})
    gc.collect()
    tracemalloc.start(1)
    kept = [Manifest.model_validate(json.loads(text)) for _ in range(copies)]  # as a document is read
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return round(size / 1e3 / len(kept), 1)


def figures(rounds: list[int]) -> dict[str, Any]:
    """All figures by place and view."""
    logging.disable(logging.CRITICAL)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="konsil-look-") as folder:
        town = Town(Path(folder), sites=SITES)
        town.propose(RUN, rounds=rounds[-1] + 1)
        for site in SITES:
            town.decide(RUN, site)
        town.work(RUN, "centre")
        for verb in ("list", "get"):
            counted(verb)
        views = {(name, view): town.home(name) for name in ("centre", "A") for view in (tab, triggerer)}
        for (_, view), home in views.items():
            view(home)()  # what is imported and cached once is not the run's
        for number in rounds:
            town.rounds(RUN, number, *SITES)
            for (name, view), home in views.items():
                found.setdefault(f"{name}, {view.__name__}", {})[number] = looked(view, home)
        sizes = {str(tensors): manifest_kb(town, tensors) for tensors in (1, 108)}
    first, last = rounds[0], rounds[-1]
    for rows in found.values():
        rows["kb_per_round"] = round((rows[last]["held_kb"] - rows[first]["held_kb"]) / (last - first), 1)
    return {"looks": found, "manifest_kb": sizes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, nargs="+", default=[2, 6, 10], help="when to look; ascending")
    chosen = parser.parse_args()
    result = figures(chosen.rounds)
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
