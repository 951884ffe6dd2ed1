"""How exact the rigid registration is, and what it costs, on synthetic heads whose movement is known.

T1w and FLAIR of a phantom differ in contrast, texture, coil field, noise, point spread and sampling grid, and by
lesions that are bright in one and dark in the other. Here they are made to differ in shape as well, as two scans of
one person do: the T1w is bent by 0.25 mm (standard deviation) inside the brain, and by up to some 4 mm in scalp, face
and neck. The truth is the rigid movement nearest to what happened in the brain. On top of the phantom's own movement,
the header of the T1w is turned by up to 20 degrees and shifted by up to 30 mm.

Kinds: "1 mm"; "anisotropic", the same with FLAIR slices averaged to 3 and 4 mm; "2 mm". Masks are the true ones.
A failure is an error of more than half the longest voxel edge anywhere in the brain.

    python bench/registration.py --json build/bench/registration.json --seeds 100 --fine-seeds 10
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
from scipy import ndimage

from konsil.cohort.volume import Volume
from konsil.phantom.fields import smooth_field
from konsil.phantom.patient import Patient, make_patient
from konsil.registration.rigid import find_rigid

BENT_BRAIN_MM, BENT_HEAD_MM = 0.25, 2.0  # standard deviations
STIFF_MM = 6.0  # the skull around the brain does not bend
LARGEST_TURN_DEG, LARGEST_SHIFT_MM = 20.0, 30.0
MOVES = 2  # of the header, per 1 mm head and kind
SITES = "ABC"


class Trial(NamedTuple):
    """One registration to do: images, masks, and the true movement from FLAIR to T1w points (RAS mm)."""

    kind: str
    name: str
    fixed: Volume
    moving: Volume
    brain: np.ndarray
    moving_brain: np.ndarray
    truth: np.ndarray


def bent(rng: np.random.Generator, patient: Patient) -> tuple[Volume, np.ndarray]:
    """The T1w bent a little, and the rigid movement from FLAIR to it that fits the brain best (Kabsch 1976)."""
    volume = Volume(patient.t1w.array, patient.t1w.affine)
    size = float(volume.spacing_mm.mean())
    skull = ndimage.binary_dilation(patient.brain_t1w, iterations=round(STIFF_MM / size)).astype(np.float32)
    outside = 1 - ndimage.gaussian_filter(skull, 3 / size)
    shape = volume.data.shape
    shift = np.stack(
        [
            BENT_BRAIN_MM * smooth_field(rng, shape, 40 / size)
            + BENT_HEAD_MM * outside * smooth_field(rng, shape, 50 / size)
            for _ in range(3)
        ]
    )
    places = np.indices(shape, dtype=np.float32) + shift / volume.spacing_mm.reshape(3, 1, 1, 1).astype(np.float32)
    data = ndimage.map_coordinates(volume.data.astype(np.float32), places, order=1, mode="nearest")
    index = np.argwhere(patient.brain_t1w)[::211]
    axes = volume.affine[:3, :3] / volume.spacing_mm
    was = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    now = was - shift[:, *index.T].T @ axes.T
    return Volume(np.rint(data).astype(np.int16), volume.affine), nearest_rigid(was, now) @ np.linalg.inv(
        patient.t1w_to_flair
    )


def nearest_rigid(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The 4 x 4 rigid movement that takes points a (N, 3) closest to b."""
    left, _, right = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    M = np.eye(4)
    M[:3, :3] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    M[:3, 3] = b.mean(0) - M[:3, :3] @ a.mean(0)
    return M


def thick(volume: Volume, count: int) -> Volume:
    """Every `count` axial slices averaged."""
    slices = volume.data.shape[2] // count
    data = volume.data[:, :, : slices * count].reshape(*volume.data.shape[:2], slices, count).mean(axis=3)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (count - 1) / 2
    affine[:3, 2] *= count
    return Volume(np.rint(data).astype(volume.data.dtype), affine)


def header_move(rng: np.random.Generator) -> np.ndarray:
    """A random turn and shift within the limits, about the middle of the scanner."""
    axis, direction = rng.standard_normal(3), rng.standard_normal(3)
    M = np.eye(4)
    M[:3, :3] = turned(axis / np.linalg.norm(axis), np.deg2rad(rng.uniform(0, LARGEST_TURN_DEG)))
    M[:3, 3] = direction / np.linalg.norm(direction) * rng.uniform(0, LARGEST_SHIFT_MM)
    return M


def turned(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation by an angle about a unit axis."""
    K = np.cross(np.eye(3), axis)
    return np.eye(3) - np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def trials(seeds: int, fine_seeds: int) -> Iterator[Trial]:
    """All trials; every phantom is made once and forgotten."""
    for number in range(fine_seeds + seeds):
        fine = number < fine_seeds
        seed, site = 1000 + number, SITES[number % 3]
        rng = np.random.default_rng(seed)
        patient = make_patient(seed, site, resolution_mm=1.0 if fine else 2.0)
        moving, truth = bent(rng, patient)
        flair = Volume(patient.flair.array, patient.flair.affine)
        fixed = {"1 mm" if fine else "2 mm": (flair, patient.brain_flair)}
        if fine:
            count = 3 + number % 2
            brain = thick(Volume(patient.brain_flair.astype(np.float32), flair.affine), count).data > 0.5
            fixed["anisotropic"] = thick(flair, count), brain
        for kind, (image, brain) in fixed.items():
            for _ in range(MOVES if fine else 1):
                H = header_move(rng)
                there = Volume(moving.data, H @ moving.affine)
                yield Trial(kind, f"{site}{seed}", image, there, brain, patient.brain_t1w, H @ truth)


def errors_mm(trial: Trial, found: np.ndarray) -> np.ndarray:
    """Target registration error at about 2000 points of the brain."""
    index = np.argwhere(trial.brain)
    points = index[:: max(1, len(index) // 2000)] @ trial.fixed.affine[:3, :3].T + trial.fixed.affine[:3, 3]
    wrong = found - trial.truth
    return np.linalg.norm(points @ wrong[:3, :3].T + wrong[:3, 3], axis=1)


def figures(seeds: int, fine_seeds: int) -> dict[str, object]:
    """Run all trials and sum up, over all and by kind."""
    rows = []
    for trial in trials(seeds, fine_seeds):
        before = time.process_time()
        movement = find_rigid(trial.fixed, trial.moving, trial.brain, trial.moving_brain)
        cost, errors = time.process_time() - before, errors_mm(trial, movement.matrix)
        failed = bool(errors.max() > trial.fixed.spacing_mm.max() / 2)
        rows.append((trial.kind, float(errors.mean()), float(errors.max()), cost, failed, movement.agreement))
        print(f"{trial.kind:12} {trial.name} mean {errors.mean():.3f} max {errors.max():.3f} mm", end="  ")
        print(f"{cost:.1f} CPU-s  same {movement.agreement.same_person_score:.2f}", flush=True)
    kinds = {kind: summary([row for row in rows if row[0] == kind]) for kind in dict.fromkeys(row[0] for row in rows)}
    fine = kinds.get("1 mm", {})
    return summary(rows) | {"cpu_s": fine.get("cpu_s"), "tre_mean_mm": fine.get("tre_mean_mm"), "kinds": kinds}


def summary(rows: list[tuple]) -> dict[str, object]:
    """Mean, 95th percentile of case means, largest error, median cost, failures, smallest same-person score."""
    means = [row[1] for row in rows]
    return {
        "cases": len(rows),
        "tre_mean_mm": round(statistics.mean(means), 4),
        "tre_p95_mm": round(float(np.percentile(means, 95)), 4),
        "tre_max_mm": round(max(row[2] for row in rows), 4),
        "cpu_s": round(statistics.median(row[3] for row in rows), 2),
        "failures": sum(row[4] for row in rows),
        "same_person_score_min": round(min(row[5].same_person_score for row in rows), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seeds", type=int, default=100, help="heads at 2 mm")
    parser.add_argument("--fine-seeds", type=int, default=10, help="heads at 1 mm, each with two header movements")
    chosen = parser.parse_args()
    result = figures(chosen.seeds, chosen.fine_seeds)
    print(json.dumps(result, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
