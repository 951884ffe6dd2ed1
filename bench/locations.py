"""How often the lesion table names the right part of the brain, on synthetic heads whose anatomy is known.

The drawn lesions of each phantom are located as `konsil predict` does it: brain mask and atlas laid on the FLAIR alone,
and the T1w, which lies on the FLAIR by the known motion. The truth is the same definition on the patient's own anatomy,
which no step has seen: its lateral ventricles, its cortex (grey matter far from them), and for the tentorium where in
the template each voxel of the folded head comes from. A lesion truly touches what is at most TRUE_CONTACT_MM away (one
and a half voxels where these are thicker): two voxels at 1 mm, because the border between two tissues is one voxel of
both. So the errors counted here are those of an affine atlas on a head that was folded, and of finding ventricles and
cortex by brightness. What the tentorium's own formula gets wrong in the template is not seen here (tests/prediction
holds it to known places), nor is anything that phantoms lack.

    python bench/locations.py --json build/bench/locations.json            12 heads at 2 mm and 3 at 1 mm, 6 CPU minutes
    python bench/locations.py --heads 3 --fine 0                           a taste of it
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from konsil.cohort.grid import read_on
from konsil.cohort.volume import Volume
from konsil.evaluation.lesions import TOUCHING
from konsil.files import write_json
from konsil.phantom.acquire import Grid, sample_mask
from konsil.phantom.anatomy import Anatomy, atlas_points, make_anatomy
from konsil.phantom.atlas import Atlas, load_atlas
from konsil.phantom.fields import random_rigid
from konsil.phantom.lesions import make_lesions
from konsil.phantom.patient import POSITION_SHIFT_MM, POSITION_TURN_DEG, Patient, make_patient
from konsil.phantom.profile import site_named
from konsil.prediction.cortex import DEEP_GREY_MM, GREY
from konsil.prediction.location import (
    CLASSES,
    CONTACT_MM,
    Head,
    away_from,
    distances,
    infratentorial,
)
from konsil.prediction.ventricles import DEEP_MM, TRIGONES_MNI_MM, holding
from konsil.quality.atlas import Placement, place_atlas
from konsil.quality.masks import draw
from konsil.types import Json

TRUE_CONTACT_MM = 2.0
FIRST_SEED = 700
LARGE_ML = 0.1


class Seen(NamedTuple):
    """One lesion: its volume, and (below the tentorium, mm to the next ventricle, mm to the cortex), true and found."""

    resolution_mm: float
    volume_ml: float
    true: tuple[bool, float, float]
    found: tuple[bool, float, float]

    def named(self, which: str, contact_mm: float) -> str:
        """The class of what is true or found, where things touch that are at most this far apart."""
        below, to_ventricle, to_cortex = self.true if which == "true" else self.found
        reach_mm = max(contact_mm, 1.5 * self.resolution_mm)
        if below:
            return CLASSES[0]
        if to_ventricle <= reach_mm:
            return CLASSES[1]
        return CLASSES[2] if to_cortex <= reach_mm else CLASSES[3]


def truth_of(seed: int, site: str, patient: Patient, resolution_mm: float) -> dict[str, np.ndarray]:
    """The patient's own ventricles, cortex and what lies below the tentorium, boolean on the FLAIR's grid.

    Draws the patient's anatomy once more, as `make_patient` does; that it is the same one, the lesions prove.
    """
    seeds = np.random.SeedSequence((seed, *site.encode())).spawn(5)
    first, atlas = np.random.default_rng(seeds[0]), load_atlas(resolution_mm)
    hospital = site_named(site)
    profile = hospital.scanners[int(first.integers(len(hospital.scanners)))]
    in_flair = random_rigid(first, shift_mm=POSITION_SHIFT_MM, turn_deg=POSITION_TURN_DEG)
    anatomy = make_anatomy(np.random.default_rng(seeds[1]), atlas, profile)
    grid = Grid(patient.flair.array.shape, patient.flair.affine)
    lesions = make_lesions(np.random.default_rng(seeds[2]), anatomy, hospital)
    if not np.array_equal(sample_mask(lesions, anatomy, grid, in_flair), patient.lesions > 0):
        raise AssertionError("this is not the anatomy of that patient")
    points = atlas_points(np.random.default_rng(seeds[1]), atlas).reshape(3, -1)
    mni = points.T @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    shape = anatomy.maps["wm"].shape
    voxels, template = points.reshape(3, *shape), lateral_ventricles(atlas).astype(np.float32)
    ventricles = ndimage.map_coordinates(template, voxels, order=1) > 0.5
    maps = {
        "ventricles": ventricles,
        "cortex": cortex(anatomy, ventricles),
        "below": infratentorial(mni).reshape(shape),
    }
    return {name: sample_mask(one.astype(np.float32), anatomy, grid, in_flair) for name, one in maps.items()}


def lateral_ventricles(atlas: Atlas) -> np.ndarray:
    """The template's lateral ventricles: deep fluid that hangs together with the trigones.

    The map "ventricles" of the phantom is no truth for this: it holds the cistern behind the midbrain as well, and at
    1 mm only the right ventricle.
    """
    depth_mm = ndimage.distance_transform_edt(atlas.maps["brain"] > 0.5, sampling=atlas.resolution_mm)
    deep = (atlas.maps["csf"] > 0.5) & (depth_mm > DEEP_MM)
    return holding(TRIGONES_MNI_MM, deep, atlas.affine)


def cortex(anatomy: Anatomy, ventricles: np.ndarray) -> np.ndarray:
    """Grey matter far from the ventricles: not thalamus or basal ganglia."""
    from_ventricle_mm = ndimage.distance_transform_edt(~ventricles, sampling=anatomy.resolution_mm)
    return (anatomy.maps["gm"] > GREY) & (from_ventricle_mm > DEEP_GREY_MM)


def lesions_of(seed: int, site: str, resolution_mm: float) -> Iterator[Seen]:
    """Every lesion of one patient, as it is and as it is found."""
    patient = make_patient(seed, site, resolution_mm=resolution_mm)
    flair = Volume(patient.flair.array, patient.flair.affine)
    truth = truth_of(seed, site, patient, resolution_mm)
    placement = place_atlas(flair)
    there, back = Volume(patient.t1w.array, patient.t1w.affine), np.linalg.inv(patient.t1w_to_flair)
    t1w = Volume(read_on(flair, there, back), flair.affine)
    gaps = distances(Head(flair, draw(flair, placement), placement, t1w), patient.lesions > 0)
    true_gaps = [away_from(truth[name], flair) for name in ("ventricles", "cortex")]
    numbered, number = ndimage.label(patient.lesions, structure=TOUCHING)
    for one in range(1, number + 1):
        inside = numbered == one
        found = is_below(np.argwhere(inside), flair, placement), *(float(gap[inside].min()) for gap in gaps)
        true = bool(truth["below"][inside].mean() > 0.5), *(float(gap[inside].min()) for gap in true_gaps)
        yield Seen(resolution_mm, int(inside.sum()) * flair.voxel_ml, true, found)


def is_below(voxels: np.ndarray, flair: Volume, placement: Placement) -> bool:
    """Whether most voxels lie below the tentorium of the atlas as it was laid."""
    inverse = np.linalg.inv(placement.matrix) @ flair.affine
    return bool(infratentorial(voxels @ inverse[:3, :3].T + inverse[:3, 3]).mean() > 0.5)


def figures(seen: list[Seen], contact_mm: float = CONTACT_MM) -> Json:
    """Confusion of true (rows) and found classes, the share that is right, and recall and precision of each class."""
    pairs = [(one.named("true", TRUE_CONTACT_MM), one.named("found", contact_mm), one.volume_ml) for one in seen]
    table = {true: {found: sum(p[:2] == (true, found) for p in pairs) for found in CLASSES} for true in CLASSES}
    large = [true == found for true, found, volume in pairs if volume >= LARGE_ML]
    total_ml = sum(volume for _, _, volume in pairs)
    return {
        "lesions": len(pairs),
        "right": share(sum(true == found for true, found, _ in pairs), len(pairs)),
        f"right_from_{LARGE_ML:g}_ml": share(sum(large), len(large)),
        "right_by_volume": share(sum(volume for true, found, volume in pairs if true == found), total_ml),
        "recall": {one: share(table[one][one], sum(table[one].values())) for one in CLASSES},
        "precision": {one: share(table[one][one], sum(row[one] for row in table.values())) for one in CLASSES},
        "confusion": table,
    }


def share(part: float, whole: float) -> float | None:
    """A share to three digits; None of nothing."""
    return round(part / whole, 3) if whole else None


def main() -> None:
    """Look at all heads and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--heads", type=int, default=12, help="at 2 mm")
    parser.add_argument("--fine", type=int, default=3, help="heads at 1 mm")
    parser.add_argument("--keep", type=Path, help="write every lesion here: distances, true and found")
    chosen = parser.parse_args()
    rows: list[Seen] = []
    for resolution_mm, heads in ((2.0, chosen.heads), (1.0, chosen.fine)):
        for number in range(heads):
            began = time.process_time()
            rows += list(lesions_of(FIRST_SEED + number, "ABC"[number % 3], resolution_mm))
            print(
                f"head {number + 1} of {heads} at {resolution_mm:g} mm, {time.process_time() - began:.0f} CPU-s",
                flush=True,
            )
    result = {f"{size:g} mm": figures([one for one in rows if one.resolution_mm == size]) for size in (2.0, 1.0)}
    print(json.dumps(result, indent=2))
    for path, content in ((chosen.json, result), (chosen.keep, [list(one) for one in rows])):
        if path:
            write_json(path, content)


if __name__ == "__main__":
    main()
