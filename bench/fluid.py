"""Is water dark or bright? How `konsil.dicom.fluid`, by which `scan` doubts headers, answers on images that are known.

Phantoms of all sites as T1w, FLAIR and T2w (the same head, with water 3.8 times as bright as white matter), whole and
with each artifact planted; and, with `--data`, the public images. A row: how often each answer came, and the range of
the two tails (percentiles 2 and 98 of the deep head, as shares of its median).

    python bench/fluid.py --seeds 4 --data ../shared/data --json build/bench/fluid.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from konsil.dicom.fluid import fluid_in, tails
from konsil.dicom.geometry import Grid
from konsil.phantom.acquire import acquire
from konsil.phantom.anatomy import make_anatomy
from konsil.phantom.atlas import load_atlas
from konsil.phantom.faults import ARTIFACTS, spoil
from konsil.phantom.patient import make_patient
from konsil.phantom.profile import SITES, contrast
from konsil.phantom.volume import record

T2W = contrast(0.5, 0.75, 1.9, 1.1, 0.9, 0.6, 0.06, 0.35, 1.9)
PUBLIC = {
    "T1w": "ms/**/*T1_T1.nii.gz ms/**/*T1W.nii.gz ms/**/T1_N4*.nii.gz nifti/**/*_T1.nii.gz",
    "FLAIR": "ms/**/*T1_FLAIR.nii.gz ms/**/*1_FLAIR.nii.gz ms/**/FLAIR_N4*.nii.gz nifti/**/FLAIR.nii.gz",
}
Image = tuple[str, np.ndarray, np.ndarray]


def phantoms(seeds: int, resolution_mm: float) -> Iterator[Image]:
    """Group, voxels and affine of every synthetic image."""
    for site in SITES:
        for seed in range(seeds):
            patient = make_patient(9000 + seed, site, resolution_mm=resolution_mm)
            for suffix, volume in (("T1w", patient.t1w), ("FLAIR", patient.flair)):
                yield f"phantom {suffix}", volume.array, volume.affine
            yield t2w(seed, site, resolution_mm)
            for fault in ARTIFACTS:
                spoiled = spoil(np.random.default_rng(seed), patient, fault)
                for suffix, volume in (("T1w", spoiled.t1w), ("FLAIR", spoiled.flair)):
                    yield f"phantom {suffix} with {fault}", volume.array, volume.affine


def t2w(seed: int, site: str, resolution_mm: float) -> Image:
    """A head as T2w shows it."""
    profile = SITES[site].scanners[0]
    profile = dataclasses.replace(profile, flair=dataclasses.replace(profile.flair, contrast=T2W))
    rng = np.random.default_rng(seed)
    anatomy = make_anatomy(rng, load_atlas(resolution_mm), profile)
    anatomy.replace_by_lesions(np.zeros_like(anatomy.maps["wm"]))
    volume = record(rng, acquire(rng, anatomy, profile, "FLAIR", np.eye(4)))
    return "phantom T2w", volume.array, volume.affine


def public(data: Path) -> Iterator[Image]:
    """Group, voxels and affine of every public NIfTI image, and of the T2w series of the public study."""
    for suffix, patterns in PUBLIC.items():
        for path in sorted({path for pattern in patterns.split() for path in data.glob(pattern)}):
            image: Any = nib.load(path)
            yield f"public {suffix}", np.asarray(image.dataobj), image.affine


def study(data: Path) -> Iterator[tuple[str, str, tuple[float, float] | None]]:
    """Group, answer and tails of every series of the public DICOM study that is told."""
    from konsil.dicom.headers import read_inbox
    from konsil.dicom.pixels import sampled
    from konsil.dicom.series import group

    inbox = data / "dicom" / "tcia_btp" / "Study3"
    for series in group(read_inbox(inbox).instances):
        volume = sampled(inbox, series) if series.covers_a_head else None
        if volume is not None:
            yield f"public {series.contrast.name}", fluid_in(*volume), tails(*volume)


def figures(seeds: int, resolution_mm: float, data: Path | None) -> dict[str, dict[str, Any]]:
    """One row per group."""
    rows: dict[str, list[tuple[str, tuple[float, float] | None]]] = defaultdict(list)
    images = [phantoms(seeds, resolution_mm), *([public(data)] if data else [])]
    for name, array, affine in (image for source in images for image in source):
        grid = Grid(array.shape, np.asarray(affine, dtype=np.float64))
        rows[name].append((fluid_in(array, grid), tails(array, grid)))
    for name, answer, ends in study(data) if data else ():
        rows[name].append((answer, ends))
    return {name: summary(found) for name, found in sorted(rows.items())}


def summary(found: list[tuple[str, tuple[float, float] | None]]) -> dict[str, Any]:
    """Answers counted, tails by their range."""
    ends = [one for _, one in found if one is not None]
    row: dict[str, Any] = {answer: [one for one, _ in found].count(answer) for answer in ("dark", "bright", "unclear")}
    for k, name in enumerate(("darkest_2_percent", "brightest_2_percent")):
        row[name] = [round(min(end[k] for end in ends), 2), round(max(end[k] for end in ends), 2)] if ends else None
    return {"images": len(found), **row}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seeds", type=int, default=4, help="phantoms of each site")
    parser.add_argument("--resolution-mm", type=float, default=3.0)
    parser.add_argument("--data", type=Path, help="folder of the public images")
    chosen = parser.parse_args()
    result = figures(chosen.seeds, chosen.resolution_mm, chosen.data)
    for name, row in result.items():
        print(name, row)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
