"""What 16-bit updates cost in Dice, on real training: the same federations with `float32` and `delta16`, several seeds.

Three sites share real hippocampi (Medical Segmentation Decathlon, task 4; two labels) and train a small nnU-Net
through the simulator, with every message sealed as between hospitals. The seed sets the first weights and all draws.
Figures: mean test Dice over the sites by seed and precision, the change by precision with the seed held (`change`),
and how much seeds differ at one precision: `seed_spread`, largest less smallest; `seed_gap`, between the two seeds
that are nearest. `is_within` says that every change by precision is smaller than the spread of seeds; a seed that
loses a label makes that easy, so look at `seed_gap` too. Bytes are those of sealed updates in the store.

    nice python bench/precision.py --json build/bench/precision.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.federation.charter import parse_charter
from konsil.federation.mailbox import Mailbox
from konsil.federation.slot import Kind
from konsil.parties.simulation import Simulation
from konsil.storage.folder import FolderStore
from konsil.trust.identity import Identity
from konsil.trust.roster import CENTRE, Roster

SHARED = Path(os.environ.get("KONSIL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
LABELS = {"background": 0, "anterior": 1, "posterior": 2}
SITES, TRAIN, TEST = "ABC", 3, 3
PRECISIONS = ("float32", "delta16")
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "batches_per_epoch": 25,
    "validation_batches": 0,
    "augmentation": "none",
    "device": "cpu",
    "network": {"patch_size": [32, 40, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1, "batch_size": 2},
}


def cohorts(data: Path, out: Path) -> dict[str, Path]:
    """A frozen cohort per site, by links to the images."""
    folder, places = data / "seg" / "msd_task04_hippocampus", {}
    names = sorted(path.name for path in (folder / "labels").glob("*.nii.gz"))
    names = [name for name in names if (folder / "images" / name).is_file()]
    for place, site in enumerate(SITES):
        chosen = names[place * (TRAIN + TEST) : (place + 1) * (TRAIN + TEST)]
        splits = ["train"] * TRAIN + ["test"] * TEST
        pairs = [
            Pair(f"{site}{i}", {"T1w": folder / "images" / name}, folder / "labels" / name, split=split)
            for i, (name, split) in enumerate(zip(chosen, splits, strict=True))
        ]
        root = SiteFolder(out / site).cohort("hippocampus").path
        frozen = adopt(pairs, name="hippocampus", channels=["T1w"], labels=LABELS, root=root, seed=0, link=True)
        places[site] = frozen.root
    return places


def federation(places: dict[str, Path], out: Path, *, precision: str, seed: int, rounds: int) -> dict[str, Any]:
    """One federation to its end: mean test Dice by site, bytes of an update."""
    charter = parse_charter(
        {
            "run": f"{precision}-{seed}",
            "sites": list(SITES),
            "learner": {"name": "nnunet", "settings": SETTINGS},
            "data": {"name": "hippocampus", "channels": ["T1w"], "labels": LABELS},
            "rounds": rounds,
            "precision": precision,
            "compare_with_local": False,
            "seed": seed,
        }
    )
    simulation = Simulation(charter, places, out)
    simulation.run()
    home = out / "centre"
    mailbox = Mailbox(
        FolderStore(out / "store"),
        me=CENTRE,
        run=charter.run,
        identity=Identity.load(home),
        roster=Roster.load(home),
    )
    sizes = [letter.manifest.payload_size for letter in mailbox.letters() if letter.slot.kind == Kind.update]
    dice = simulation.summary["dice"]["federated"]
    return {"dice": dice, "mean": statistics.mean(dice.values()), "update_bytes": statistics.median(sizes)}


def figures(data: Path, seeds: int, rounds: int) -> dict[str, Any]:
    """All federations, and what they say. At least two seeds, or nothing is known about what they differ by."""
    runs: dict[str, list[dict[str, Any]]] = {precision: [] for precision in PRECISIONS}
    with tempfile.TemporaryDirectory(prefix="konsil-precision-") as work:
        places = cohorts(data, Path(work))
        for seed in range(seeds):
            for precision in PRECISIONS:
                began = time.process_time()
                out = Path(work) / f"{precision}-{seed}"
                found = federation(places, out, precision=precision, seed=seed, rounds=rounds)
                runs[precision].append({"seed": seed, **found, "cpu_s": round(time.process_time() - began, 1)})
                print(f"seed {seed}, {precision}: Dice {found['mean']:.4f}", flush=True)
    means = {precision: [run["mean"] for run in runs[precision]] for precision in PRECISIONS}
    change = [b - a for a, b in zip(means["float32"], means["delta16"], strict=True)]
    ordered = sorted(means["float32"])
    spread = min(max(values) - min(values) for values in means.values())
    sizes = [runs[precision][0]["update_bytes"] for precision in PRECISIONS]
    return {
        "rounds": rounds,
        "runs": runs,
        "change": change,
        "change_mean": statistics.mean(change),
        "change_max": max(map(abs, change)),
        "seed_spread": spread,
        "seed_gap": min(b - a for a, b in itertools.pairwise(ordered)),
        "is_within": max(map(abs, change)) < spread,
        "update_bytes_ratio": sizes[1] / sizes[0],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with seg/msd_task04_hippocampus")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    if not (chosen.data / "seg" / "msd_task04_hippocampus").is_dir():
        parser.exit(0, "the hippocampi are not there; set KONSIL_TEST_DATA to the public data\n")
    result = figures(chosen.data, chosen.seeds, chosen.rounds)
    for name in ("change", "change_mean", "change_max", "seed_spread", "seed_gap", "is_within", "update_bytes_ratio"):
        print(f"{name:20} {result[name]}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
