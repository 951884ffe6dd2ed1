"""The patients of `bench/learning.py`: real hippocampi, and synthetic patients of three unlike hospitals.

Every seed deals the hippocampi anew to sites and to training and test, so several seeds test more patients than one.
The phantoms of a seed are patients of their own; a site's share is the federation paper's 105 : 247 : 28.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from konsil.cohort.adopt import Pair, adopt
from konsil.cohort.folder import SiteFolder
from konsil.types import Json

SITES, POOL = "ABC", "pool"
HIPPOCAMPUS: Json = {
    "name": "hippocampus",
    "channels": ["T1w"],
    "labels": {"background": 0, "anterior": 1, "posterior": 2},
}
LESIONS: Json = {"name": "phantoms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}}
TRAIN, TEST = {"A": 8, "B": 19, "C": 2}, 6  # 105 : 247 : 28, divided by 13


def hippocampus_folder() -> Path:
    """Where `images` and `labels` lie: KONSIL_HIPPOCAMPUS, else below KONSIL_TEST_DATA, else beside the checkout."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    data = Path(os.environ.get("KONSIL_TEST_DATA", beside))
    return Path(os.environ.get("KONSIL_HIPPOCAMPUS", data / "seg" / "msd_task04_hippocampus"))


def hippocampi(folder: Path, seed: int) -> dict[str, list[Pair]]:
    """Three sites of a third of the cases each, a third of them for the test."""
    names = sorted(p.name for p in (folder / "labels").glob("[!.]*.nii.gz") if (folder / "images" / p.name).is_file())
    if len(names) < 3 * len(SITES):
        raise SystemExit(f"{len(names)} hippocampi with labels found, at least {3 * len(SITES)} are needed")
    dealt = np.random.default_rng(seed).permutation(names).tolist()
    return {site: list(third(folder, site, dealt[place :: len(SITES)])) for place, site in enumerate(SITES)}


def third(folder: Path, site: str, names: list[str]) -> Iterator[Pair]:
    """One site's cases."""
    for number, name in enumerate(names):
        split = "test" if number < len(names) // 3 else "train"
        yield Pair(f"{site}{number}", {"T1w": folder / "images" / name}, folder / "labels" / name, split=split)


def phantoms(made: Path, seed: int) -> dict[str, list[Pair]]:
    """Patients of the three profiles at 2 mm, T1w moved onto the FLAIR by the known motion, brain only."""
    return {site: [phantom(made, site, seed, number) for number in range(TRAIN[site] + TEST)] for site in SITES}


def patients(data: str, seeds: range) -> list[tuple[str, int, int]]:
    """Site, seed and number of every phantom that these seeds need."""
    needed = data == "phantoms"
    return [(site, seed, i) for seed in seeds for site in SITES for i in range(TRAIN[site] + TEST) if needed]


def phantom(made: Path, site: str, seed: int, number: int, resolution_mm: float = 2.0) -> Pair:
    """One patient, as NIfTI files in `made`; made if it is not there."""
    name = f"{site}{seed}x{number}"
    files = {kind: made / f"{name}_{kind}.nii.gz" for kind in ("T1w", "FLAIR", "mask")}
    if not all(file.is_file() for file in files.values()):
        make(files, site, 1000 * (seed + 1) + number, resolution_mm)
    label = files.pop("mask")
    return Pair(name, files, label, split="train" if number < TRAIN[site] else "test")


def make(files: dict[str, Path], site: str, seed: int, resolution_mm: float) -> None:
    """Write the images and the mask of one patient."""
    import nibabel as nib
    from scipy import ndimage

    from konsil.phantom.patient import make_patient

    patient = make_patient(seed, site, resolution_mm=resolution_mm)
    t1w, flair = patient.t1w, patient.flair
    step = np.linalg.inv(t1w.affine) @ np.linalg.inv(patient.t1w_to_flair) @ flair.affine
    moved = ndimage.affine_transform(
        t1w.array.astype(np.float32), step[:3, :3], step[:3, 3], output_shape=flair.array.shape, order=1
    )
    voxels = {"T1w": moved * patient.brain_flair, "FLAIR": flair.array * patient.brain_flair, "mask": patient.lesions}
    for name, array in voxels.items():
        files[name].parent.mkdir(parents=True, exist_ok=True)
        kind = np.uint8 if name == "mask" else np.float32
        nib.save(nib.Nifti1Image(array.astype(kind), flair.affine), files[name])


def cohorts(data: str, seed: int, made: Path, out: Path) -> tuple[Json, dict[str, Path]]:
    """The charter's data request, and the folder of each site's frozen cohort and of the pooled one."""
    asked: Any = {"hippocampus": HIPPOCAMPUS, "phantoms": LESIONS}[data]
    pairs = hippocampi(hippocampus_folder(), seed) if data == "hippocampus" else phantoms(made, seed)
    pairs[POOL] = [pair for site in SITES for pair in pairs[site]]
    found = {}
    for name, chosen in pairs.items():
        root = SiteFolder(out / "homes" / name).cohort(asked["name"]).path
        found[name] = adopt(
            chosen, name=asked["name"], channels=asked["channels"], labels=asked["labels"], root=root, seed=0, link=True
        ).root
    return asked, found
