"""Trains the artifact score (`konsil.quality.artifact_score`) on synthetic patients with planted artifacts.

Patients of all three sites at 2 mm (a few at 1 mm), as volumes: each is measured clean and with artifacts of drawn
severities, our own (`konsil.phantom`) and TorchIO's. What was measured is kept under `--cache`, one file per patient,
so that a run that was stopped goes on. Then one logistic model per image (T1w, FLAIR) is fitted, calibrated on patients
it has not seen, and written with `--model`, its card with `--card`.

To save time the atlas is laid on the clean image once, and its placement serves all versions.

    python bench/train_artifacts.py --patients 36 --model src/konsil/quality/artifact_score.json \
        --card docs/models/artifact-score.md --json build/bench/train_artifacts.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from artifact_card import write_card
from artifact_model import Rows, fit_models

from konsil.cohort.volume import Volume, read_volume
from konsil.files import read_json, write_json
from konsil.phantom.faults import ARTIFACTS
from konsil.phantom.patient import make_patient
from konsil.phantom.volume import Signal, record
from konsil.quality.artifact_score import measure_artifacts, probability_by
from konsil.quality.atlas import place_atlas
from konsil.registration.orient import closest_canonical

SHARED = Path(os.environ.get("KONSIL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
FIRST_SEED = 90_000  # evaluations use others
SITES = ("A", "B", "C")
RESOLUTION_MM, FINE_MM = 2.0, 1.0
FIRST_FINE = 5_000  # number of the first patient at 1 mm
SPOILED = 5  # versions of each patient besides the clean one
SEVERITIES = (0.1, 2.5)  # drawn evenly in the logarithm
PUBLIC = (
    ("nifti/ixi_2mm/t1/IXI015-HH-1258_T1.nii.gz", "T1w"),
    ("nifti/ixi_2mm/t1/IXI132-HH-1415_T1.nii.gz", "T1w"),
    ("nifti/synthsr_flair/FLAIR.nii.gz", "FLAIR"),
    ("ms/ljubljana_long_raw/patient12/study1_T1W.nii.gz", "T1w"),
    ("ms/ljubljana_long_raw/patient12/study1_FLAIR.nii.gz", "FLAIR"),
)
TORCHIO = ("torchio motion", "torchio ghosting", "torchio spike", "torchio bias", "torchio blur", "torchio noise")


def versions(number: int) -> list[tuple[str, float]]:
    """What is done to patient `number`: clean, then artifacts in turn, so that all are equally frequent."""
    names = [*ARTIFACTS, *TORCHIO]
    chance = np.random.default_rng([FIRST_SEED, number])
    first = number * SPOILED
    chosen = [names[(first + step) % len(names)] for step in range(SPOILED)]
    low, high = np.log(SEVERITIES)
    return [("clean", 0.0), *((name, round(float(np.exp(chance.uniform(low, high))), 3)) for name in chosen)]


def spoiled(signal: Signal, name: str, severity: float, seed: int) -> Volume:
    """One version of an image: planted before the noise is drawn, as it happens in a scanner."""
    chance = np.random.default_rng(seed)
    if name in ARTIFACTS:
        signal = ARTIFACTS[name](chance, signal, severity)
    elif name in TORCHIO:
        signal = by_torchio(signal, name, severity, seed)
    image = record(np.random.default_rng([seed, 1]), signal)
    return Volume(image.array, image.affine)


def by_torchio(signal: Signal, name: str, severity: float, seed: int) -> Signal:
    """The same kinds of artifact as another library makes them (TorchIO, Pérez-García et al. 2021)."""
    import torch
    import torchio as tio

    torch.manual_seed(seed)
    turn, shift, strength = 10.0 * severity, 10.0 * severity, 0.6 * severity
    make: dict[str, Any] = {
        "torchio motion": lambda: tio.RandomMotion(degrees=turn, translation=shift, num_transforms=2),
        "torchio ghosting": lambda: tio.RandomGhosting(num_ghosts=(4, 8), intensity=(strength, strength)),
        "torchio spike": lambda: tio.RandomSpike(num_spikes=1, intensity=(0.3 * severity, 0.3 * severity)),
        "torchio bias": lambda: tio.RandomBiasField(coefficients=0.5 * severity),
        "torchio blur": lambda: tio.RandomBlur(std=(1.7 * severity, 1.7 * severity)),
    }
    if name == "torchio noise":
        return dataclasses.replace(signal, noise=float(np.hypot(signal.noise, 0.1 * severity * signal.tissue)))
    image = tio.ScalarImage(tensor=torch.from_numpy(signal.array[None].copy()), affine=signal.affine)
    array = np.abs(make[name]()(image).numpy()[0]).astype(np.float32)
    return dataclasses.replace(signal, array=array)


def measure_patient(number: int, cache: Path, resolution_mm: float = RESOLUTION_MM) -> None:
    """Measure all versions of one patient, unless that was done."""
    site, seed = SITES[number % len(SITES)], FIRST_SEED + number
    path = cache / f"{seed}.json"
    if path.is_file():
        return
    patient, rows = make_patient(seed, site, resolution_mm=resolution_mm), []
    for suffix, image, signal in (
        ("T1w", patient.t1w, patient.t1w_signal),
        ("FLAIR", patient.flair, patient.flair_signal),
    ):
        placement = place_atlas(Volume(image.array, image.affine))
        for turn, (name, severity) in enumerate(versions(number)):
            features = measure_artifacts(spoiled(signal, name, severity, seed * 100 + turn), placement)
            who = {"seed": seed, "site": site, "scanner": patient.profile.name, "suffix": suffix}
            rows.append({**who, "fault": name, "severity": severity, "features": features})
    write_json(path, {"rows": rows})


def public_scores(data: Path, models: dict[str, Any]) -> dict[str, float | None]:
    """What the model says of public images that nobody spoiled, by file; absent ones are left out."""
    found = {}
    for name, suffix in PUBLIC:
        if (data / name).is_file():
            image = closest_canonical(read_volume(data / name, f"the {suffix}"))
            features = measure_artifacts(image, place_atlas(image))
            score = probability_by(models[suffix], features)
            found[f"{name} ({suffix})"] = None if score is None else round(score, 2)
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=36, help="patients over all sites")
    parser.add_argument("--fine", type=int, default=6, help="patients at 1 mm besides")
    parser.add_argument("--cache", type=Path, default=Path("build/artifacts"), help="keep what was measured here")
    parser.add_argument("--data", type=Path, default=SHARED, help="public images to be scored as well")
    parser.add_argument("--measured", action="store_true", help="make no patients, train on those in the cache")
    parser.add_argument("--model", type=Path, help="write the model here")
    parser.add_argument("--card", type=Path, help="write the card here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    wanted = [(number, RESOLUTION_MM) for number in range(chosen.patients)]
    wanted += [(FIRST_FINE + number, FINE_MM) for number in range(chosen.fine)]
    for number, resolution_mm in [] if chosen.measured else wanted:
        started = time.process_time()
        measure_patient(number, chosen.cache, resolution_mm)
        print(f"patient {number} at {resolution_mm:g} mm: {time.process_time() - started:.1f} CPU-s", flush=True)
    rows: Rows = [row for path in sorted(chosen.cache.glob("*.json")) for row in read_json(path)["rows"]]
    model, figures = fit_models(rows)
    public = public_scores(chosen.data, model["models"])
    print(json.dumps(figures | {"public": public}, indent=2))
    if chosen.model:
        write_json(chosen.model, model)
    if chosen.card:
        write_card(chosen.card, model, figures, public)
    if chosen.json:
        write_json(chosen.json, figures | {"public": public})
