"""How well the brain masks fit, and what they cost, on synthetic heads with known brains.

Dice overlap with the truth of the atlas's outline as it was laid, and of the mask after it followed the brain's edge,
for T1w and FLAIR of all three sites (sagittal and axial, with lesions), under planted trouble, with the head turned by
up to 20 degrees, in 4 mm slices, at 2 mm and (`--fine`) at 1 mm. The phantoms come from the same atlas, so real heads
do worse: `--real FOLDER` takes skull-stripped public images (`ms/` of the public test data), whose own edge is the
truth.

    python bench/masks.py --json build/bench/masks.json --real ../shared/data/ms
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from konsil.cohort.volume import Volume, read_volume
from konsil.phantom.faults import spoil
from konsil.phantom.fields import random_rigid
from konsil.phantom.patient import Patient, make_patient
from konsil.quality.atlas import brain, lay, place_atlas
from konsil.quality.masks import draw
from konsil.registration.orient import closest_canonical

TROUBLE = ("clean", "noise@2", "motion@1", "bias@2", "ghosting@1", "blur@1", "void@1")
REAL = {
    "MSLesSeg P18 FLAIR": "mslesseg/train/P18/T1/P18_T1_FLAIR.nii.gz",
    "MSLesSeg P39 FLAIR": "mslesseg/train/P39/T1/P39_T1_FLAIR.nii.gz",
    "MSLesSeg P39 T1w": "mslesseg/train/P39/T1/P39_T1_T1.nii.gz",
}


class Trial(NamedTuple):
    """One image, its true brain, and under which heading it counts."""

    kind: str
    image: Volume
    truth: np.ndarray


def phantoms(heads: int, fine: bool) -> Iterator[Trial]:
    """Heads at 2 mm under every trouble, turned, and in thick slices; one per site at 1 mm if `fine`."""
    for number in range(heads):
        seed, site = 500 + number, "ABC"[number % 3]
        patient = make_patient(seed, site, resolution_mm=2.0)
        for trouble in TROUBLE:
            worse = patient if trouble == "clean" else spoil(np.random.default_rng(seed), patient, trouble)
            yield from both(trouble, worse)
        H = random_rigid(np.random.default_rng(seed), shift_mm=15, turn_deg=20)
        for _, image, truth in both("", patient):
            yield Trial("turned up to 20 degrees", closest_canonical(Volume(image.data, H @ image.affine)), truth)
            yield thick(image, truth)
        if fine and number < 3:
            yield from both("1 mm", make_patient(seed, site, resolution_mm=1.0))


def both(kind: str, patient: Patient) -> list[Trial]:
    """T1w and FLAIR of a patient."""
    return [
        Trial(kind, Volume(patient.t1w.array, patient.t1w.affine), patient.brain_t1w),
        Trial(kind, Volume(patient.flair.array, patient.flair.affine), patient.brain_flair),
    ]


def thick(image: Volume, truth: np.ndarray) -> Trial:
    """Every two axial slices of a 2 mm image averaged: slices of 4 mm."""
    count = image.data.shape[2] // 2
    pairs = [part[:, :, : 2 * count].reshape(*part.shape[:2], count, 2).mean(axis=3) for part in (image.data, truth)]
    step = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    return Trial("4 mm slices", Volume(pairs[0].astype(np.float32), image.affine @ step), pairs[1] > 0.5)


def real(folder: Path) -> Iterator[Trial]:
    """The public skull-stripped images that are there."""
    for name, path in REAL.items():
        if (folder / path).is_file():
            image = closest_canonical(read_volume(folder / path, name))
            yield Trial(name, image, image.data > 0)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2 |a and b| / (|a| + |b|)."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def figures(trials: Iterator[Trial]) -> dict[str, dict[str, float]]:
    """Means and the worst case, by kind."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for kind, image, truth in trials:
        before = time.process_time()
        placement = place_atlas(image)
        mask = draw(image, placement).data > 0
        cost = time.process_time() - before
        laid = lay(brain(), placement, image) > 0.5
        rows.setdefault(kind, []).append((dice(laid, truth), dice(mask, truth), cost))
        print(f"{kind:26} atlas {rows[kind][-1][0]:.3f}  mask {rows[kind][-1][1]:.3f}  {cost:.1f} CPU-s", flush=True)
    return {kind: summary(values) for kind, values in rows.items()}


def summary(values: list[tuple[float, float, float]]) -> dict[str, float]:
    """One line of the table."""
    laid, masks, costs = zip(*values, strict=True)
    return {
        "images": len(values),
        "dice_atlas_mean": round(statistics.mean(laid), 4),
        "dice_mean": round(statistics.mean(masks), 4),
        "dice_min": round(min(masks), 4),
        "cpu_s": round(statistics.median(costs), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--heads", type=int, default=6, help="at 2 mm")
    parser.add_argument("--fine", action="store_true", help="also one head per site at 1 mm (a minute more)")
    parser.add_argument("--real", type=Path, help="folder ms/ of the public test data")
    chosen = parser.parse_args()
    result = figures(phantoms(chosen.heads, chosen.fine))
    if chosen.real:
        result |= figures(real(chosen.real))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
