"""Taking all measures of one case: images and masks in, numbers with their keys out.

A measure that cannot be taken is None with a note that says why; it is never 0 or -1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.cohort.volume import Volume, read_volume
from konsil.quality.artifacts import air_structure, entropy_focus, spike_score
from konsil.quality.atlas import Placement, brain
from konsil.quality.coverage import cropped_percent, outside_mm, volume_similarity, voxel_deviation_mm
from konsil.quality.masks import read_placement
from konsil.quality.noise import noise_sd, signal_to_noise
from konsil.quality.regions import Regions, find_regions

CROP_TOLERANCE_MM = 2.0  # the atlas lies no better than this


@dataclass(frozen=True)
class Measured:
    """One value in the unit of its kind; `text` says it in a sentence where the number alone says little."""

    value: float | None
    text: str = ""
    note: str = ""


def measure_case(cohort: CohortFolder, case: Case, wanted_mm: float) -> dict[str, Measured]:
    """All measures of the images a case has, by key."""
    found: dict[str, Measured] = {}
    for suffix in SUFFIXES:
        if cohort.oriented(case, suffix).is_file():
            image = read_volume(cohort.oriented(case, suffix), f"the oriented {suffix}")
            mask = read_volume(cohort.brain_mask(case, suffix), f"the brain mask of {suffix}")
            placement = read_placement(cohort, case, suffix)
            regions = find_regions(image, mask.data > 0, placement)
            values = measure_image(image, regions, placement, wanted_mm)
            if suffix == "FLAIR":
                values |= measure_fluid(image, regions)
            found |= {f"{suffix.lower()}_{name}": measured for name, measured in values.items()}
    volumes = [
        found[f"{suffix.lower()}_brain_ml"].value for suffix in SUFFIXES if f"{suffix.lower()}_brain_ml" in found
    ]
    if len(volumes) == len(SUFFIXES):
        found["brain_volume_similarity"] = Measured(volume_similarity(volumes[0] or 0.0, volumes[1] or 0.0))
    return found


def measure_image(image: Volume, regions: Regions, placement: Placement, wanted_mm: float) -> dict[str, Measured]:
    """The measures that T1w and FLAIR share."""
    spacing = image.spacing_mm
    noise = noise_sd(image.data, regions.parenchyma)
    air = air_structure(image.data, regions.air)
    beyond = outside_mm(brain_points(placement), image.affine, image.data.shape)
    missing = cropped_percent(beyond, CROP_TOLERANCE_MM)
    return {
        "snr_parenchyma": in_region(signal_to_noise(image.data, regions.parenchyma, noise), "parenchyma"),
        "air_structure": Measured(air, note="" if air is not None else "the air around the head was masked"),
        "entropy_focus": Measured(entropy_focus(image.data)),
        "spike_score": Measured(spike_score(image.data)),
        "cropped_percent": Measured(missing, f"{missing:.1f} %, up to {beyond.max():.0f} mm" if missing else ""),
        "voxel_deviation_mm": Measured(
            voxel_deviation_mm(spacing, wanted_mm), " x ".join(f"{size:.2f}" for size in spacing) + " mm"
        ),
        "brain_ml": Measured(float(regions.brain.sum() * image.voxel_ml)),
        "atlas_fit": Measured(placement.information),
    }


def measure_fluid(image: Volume, regions: Regions) -> dict[str, Measured]:
    """The measures that only FLAIR has."""
    noise = noise_sd(image.data, regions.parenchyma)
    ratio = None
    if regions.fluid.any() and regions.parenchyma.any():
        ratio = float(np.median(image.data[regions.fluid]) / np.median(image.data[regions.parenchyma]))
    return {
        "snr_csf": in_region(signal_to_noise(image.data, regions.fluid, noise), "fluid"),
        "fluid_ratio": in_region(ratio, "fluid"),
    }


def in_region(value: float | None, region: str) -> Measured:
    """A value taken in a region, or a note that the region was not found."""
    return Measured(value, note="" if value is not None else f"too little {region} was found, or no noise at all")


def brain_points(placement: Placement) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Points of the atlas brain, 2 mm apart, where they lie on the patient: RAS mm, (N, 3)."""
    atlas = brain()
    points = np.argwhere(atlas.data > 0.5) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    laid: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = points @ placement.matrix[:3, :3].T
    return laid + placement.matrix[:3, 3]
