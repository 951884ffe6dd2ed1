"""What a federation learns, beside a site alone and all patients in one place: test Dice per site, several seeds.

Every model sees the same number of iterations, `--rounds` times `--batches`: the federated ones at every site, the
local ones at their site, the pooled one over the patients of all sites. All start from the same first weights and use
the same plan. Federations go through the simulator, with every message sealed as between hospitals; the local models
are those of `compare_with_local`. The seed deals the patients, sets the first weights and all draws.

    python bench/learning.py --data hippocampus --out hippocampus.jsonl          real hippocampi, a small network
    python bench/learning.py --data phantoms --out phantoms.jsonl                three hospitals of 105 : 247 : 28
    python bench/learning.py --planned --workers 16 …                            nnU-Net's own plan: for a GPU
    python bench/learning.py --table hippocampus.jsonl --json build/bench/learning.json

Each arm that has ended is a line of `--out`; started again, the bench does what is missing. A table counts the seeds
that are complete. KONSIL_HIPPOCAMPUS may point at the full data set (`images`, `labels`) of the Medical Segmentation
Decathlon's task 4. Figures: `fedavg_over_pooled` and `fedavg_over_local_elsewhere`, ratios of mean test Dice over the
sites, medians over seeds; at each site `fedavg_minus_local` in Dice and sensitivity, tested at home.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learn.cases import POOL, SITES, cohorts, hippocampus_folder, patients, phantom
from learn.table import RATIOS, figures, printed

from konsil.types import Json

ARMS: dict[str, Any] = {
    "fedavg": "fedavg",
    "ditto": {"name": "ditto"},
    "fedprox": {"name": "fedprox"},
    "fedbn": {"name": "fedbn"},
    "pooled": None,
}
SMALL: dict[str, Json] = {
    "hippocampus": {
        "learning_rate": 0.1,
        "network": {"patch_size": [32, 40, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1},
    },
    "phantoms": {
        "learning_rate": 0.03,
        "network": {"patch_size": [32, 32, 32], "features_per_stage": [8, 16, 32]},
        "tile_size": [64, 64, 64],
    },
}
SMALL_TOO: Json = {"momentum": 0.9, "augmentation": "none"}


@dataclass(frozen=True)
class Job:
    """One arm with one seed."""

    data: str
    arm: str
    seed: int
    rounds: int
    batches: int
    planned: bool
    device: str
    made: str  # where phantoms lie

    @property
    def settings(self) -> Json:
        """The learner's part of the charter."""
        chosen = {} if self.planned else {**SMALL_TOO, **SMALL[self.data]}
        fixed = {"batches_per_epoch": self.batches, "validation_batches": 0, "augmentation_workers": 0}
        return {**chosen, **fixed, "compiled": False, "device": self.device}


def do(job: Job) -> Json:
    """Train and test one arm in this process; its line."""
    import torch

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="konsil-learning-") as work:
        asked, places = cohorts(job.data, job.seed, Path(job.made), Path(work))
        scores = (pooled if job.arm == "pooled" else federated)(job, asked, places, Path(work))
    name = torch.cuda.get_device_name() if job.device != "cpu" and torch.cuda.is_available() else "cpu"
    said = {key: value for key, value in asdict(job).items() if key not in ("device", "made")}
    return {**said, "scores": scores, "seconds": round(time.monotonic() - began, 1), "on": name}


def federated(job: Job, asked: Json, places: dict[str, Path], work: Path) -> Json:
    """Scores by model (`federated`, `personal`, `local.<site>`) and site of the test."""
    from konsil.federation.charter import parse_charter
    from konsil.parties.simulation import Simulation

    charter = parse_charter(
        {
            "run": f"{job.arm}-{job.seed}",
            "sites": list(SITES),
            "learner": {"name": "nnunet", "settings": job.settings},
            "data": asked,
            "rounds": job.rounds,
            "strategy": ARMS[job.arm],
            "compare_with_local": job.arm == "fedavg",
            "seed": job.seed,
        }
    )
    simulation = Simulation(charter, {site: places[site] for site in SITES}, work / "run")
    simulation.run()
    found: Json = {}
    for tested, table in simulation.summary["evaluation"].items():
        models = {f"local.{name}": means for name, means in table.pop("local").items()} | table
        for model, means in models.items():
            found.setdefault(model, {})[tested] = brief(means)
    return found


def pooled(job: Job, asked: Json, places: dict[str, Path], work: Path) -> Json:
    """The same plan and first weights, all training patients at one place, tested at each site."""
    from konsil.cohort.frozen import read_frozen
    from konsil.evaluation.metrics import summarise
    from konsil.learners.registry import create

    opened = {name: read_frozen(place / "cohort.json") for name, place in places.items()}
    learner = create(
        "nnunet", job.settings, rounds=job.rounds, seed=job.seed, home=work / "pooled", run="pooled", data=asked
    )
    recipe = learner.plan({site: learner.fingerprint(opened[site]) for site in SITES})
    learner.prepare(opened[POOL], recipe)
    trained = learner.baseline(opened[POOL], recipe, learner.initial(recipe))
    return {
        "pooled": {site: brief(summarise(learner.evaluate(opened[site], recipe, trained, "test"))) for site in SITES}
    }


def brief(means: Json) -> Json:
    """Means over the test cases, and how many they were."""
    return {key: means[key]["mean"] for key in ("dice", "sensitivity", "precision")} | {"cases": means["cases"]}


def jobs(chosen: argparse.Namespace) -> Iterator[Job]:
    """Seed by seed, so that a bench that is cut off leaves whole seeds."""
    done = {(line["data"], line["arm"], line["seed"]) for line in lines(chosen.out)}
    for seed in range(chosen.seeds):
        for data in chosen.data:
            for arm in ARMS:
                if (data, arm, seed) not in done:
                    planned = chosen.planned == data
                    yield Job(data, arm, seed, chosen.rounds, chosen.batches, planned, chosen.device, str(chosen.made))


def lines(file: Path) -> list[Json]:
    """What has been done; a line that was cut off does not count."""
    found = []
    for text in file.read_text().splitlines() if file.is_file() else ():
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


def train(chosen: argparse.Namespace) -> None:
    """Do what is missing, each arm in an interpreter of its own, and note each as it ends."""
    spawn = multiprocessing.get_context("spawn")
    chosen.made.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(chosen.workers, mp_context=spawn) as pool:
        for data in chosen.data:
            for patient in patients(data, range(chosen.seeds)):
                pool.submit(phantom, chosen.made, *patient)
    with ProcessPoolExecutor(chosen.workers, mp_context=spawn, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(do, job): job for job in jobs(chosen)}
        for future in as_completed(waiting):
            if (error := future.exception()) is not None:  # the other arms go on; started again, it is done again
                print(f"{waiting[future]} failed: {error!r}", flush=True)
                continue
            line = future.result()
            with chosen.out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            print(f"{line['data']}, seed {line['seed']}, {line['arm']}: {line['seconds']} s", flush=True)


def main() -> None:
    """Train, or tell what was trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=list(SMALL), help="default: hippocampus; may be repeated")
    parser.add_argument("--out", type=Path, help="a line per arm that has ended (else in a folder that vanishes)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--batches", type=int, default=25, help="a round's")
    parser.add_argument("--planned", choices=list(SMALL), help="nnU-Net's own plan and defaults for these data")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="arms at a time")
    parser.add_argument("--made", type=Path, help="keep the phantoms here; they are made once")
    parser.add_argument("--table", type=Path, help="only tell what this file holds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    chosen.data = chosen.data or ["hippocampus"]
    if "hippocampus" in chosen.data and not chosen.table and not (hippocampus_folder() / "labels").is_dir():
        parser.exit(0, "the hippocampi are not there; set KONSIL_HIPPOCAMPUS to their folder\n")
    with tempfile.TemporaryDirectory(prefix="konsil-learning-") as work:
        chosen.made = chosen.made or Path(work) / "made"
        chosen.out = chosen.table or chosen.out or Path(work) / "learning.jsonl"
        if not chosen.table:
            train(chosen)
        found = figures(lines(chosen.out))
    print("\n".join(printed(found)))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        named = {key: found["hippocampus"][key][0] for key in RATIOS if "hippocampus" in found}
        chosen.json.write_text(json.dumps(found | named, indent=2) + "\n")


if __name__ == "__main__":
    main()
