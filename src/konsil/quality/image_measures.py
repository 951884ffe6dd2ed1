"""All measures of one image, by name: what T1w and FLAIR share, and what only a FLAIR has.

Each group of measures has a module of its own; here they are given their regions, and their names. The names are those
of limits.toml without the image.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from konsil.cohort.volume import Volume
from konsil.quality.air import air_structure, corrupted_air, fber, has_air, qi_1, qi_2
from konsil.quality.atlas import Placement, brain
from konsil.quality.contrast import GREY, WHITE, cjv, cnr, describe, sample, shares_at
from konsil.quality.coverage import FACES, beyond_faces_mm, cropped_mm, cropped_percent, voxel_deviation_mm
from konsil.quality.ghosts import ghosts, streaks
from konsil.quality.inhomogeneity import fit_field, inu_range
from konsil.quality.measured import Measured, absent, taken
from konsil.quality.noise import noise_sd, signal_to_noise
from konsil.quality.regions import Regions, find_regions
from konsil.quality.sharpness import efc, fwhm, gradient_entropy
from konsil.quality.spikes import spike_score

CROP_TOLERANCE_MM = 2.0  # the atlas lies no better than this
AXES = ("x", "y", "z")
AIR_NAMES = (
    "air_structure",
    "qi_1",
    "qi_2",
    "fber",
    *(f"{kind}_{axis}" for kind in ("gsr", "streak") for axis in AXES),
)

Found = dict[str, Measured]
Mask = npt.NDArray[np.bool_]


def measure_image(image: Volume, mask: Mask, placement: Placement, wanted_mm: float, suffix: str) -> Found:
    """Every measure of an oriented T1w or FLAIR, given its brain mask (X, Y, Z) and where the atlas lies on it.

    Every name is there for every image; `suffix` says whether the fluid is measured as well ("FLAIR").
    """
    regions = find_regions(image, mask, placement)
    noise = noise_sd(image.data, regions.parenchyma)
    found = measure_signal(image, regions, noise)
    found |= measure_tissues(image, regions, placement, noise)
    found |= measure_sharpness(image.data, regions.brain)
    found |= measure_air(image.data, regions)
    found |= measure_geometry(image, regions.brain, placement, wanted_mm)
    return found | (measure_fluid(image.data, regions, noise) if suffix == "FLAIR" else {})


def measure_signal(image: Volume, regions: Regions, noise: float | None) -> Found:
    """Noise in the brain, and spikes in k-space."""
    snr = signal_to_noise(image.data, regions.parenchyma, noise)
    return {"snr_parenchyma": in_region(snr, "parenchyma"), "spike_score": Measured(spike_score(image.data))}


def measure_fluid(data: npt.NDArray[Any], regions: Regions, noise: float | None) -> Found:
    """How well a FLAIR suppresses fluid."""
    ratio = None
    if regions.fluid.any() and regions.parenchyma.any():
        ratio = float(np.median(data[regions.fluid]) / np.median(data[regions.parenchyma]))
    snr = signal_to_noise(data, regions.fluid, noise)
    return {"snr_csf": in_region(snr, "fluid"), "fluid_ratio": in_region(ratio, "fluid")}


def in_region(value: float | None, region: str) -> Measured:
    """A value taken in a region, or a note that the region was not found."""
    return taken(value, f"too little {region} was found, or no noise at all")


def measure_tissues(image: Volume, regions: Regions, placement: Placement, noise: float | None) -> Found:
    """Unevenness of white matter, and its contrast to grey matter once the unevenness is divided away."""
    index = sample(regions.matter)
    points = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    values = image.data[tuple(index.T)].astype(np.float64)
    in_grey, in_white = shares_at(points, placement)
    is_white, is_grey = in_white > WHITE, in_grey > GREY
    field = fit_field(values[is_white], points[is_white])
    if field is None:
        return absent(("inu_range", "cnr", "cjv"), "too little white matter was found")
    factors = field.at(points)
    white, grey = (describe((values / factors)[tissue]) for tissue in (is_white, is_grey))
    both = "too little grey or white matter was found, or both are equally bright"
    return {
        "inu_range": Measured(inu_range(factors[is_white])),
        "cnr": taken(cnr(white, grey, noise or 0.0) if white and grey else None, both),
        "cjv": taken(cjv(white, grey) if white and grey else None, both),
    }


def measure_sharpness(data: npt.NDArray[Any], mask: Mask) -> Found:
    """Entropies and smoothness."""
    widths = fwhm(data, mask)
    small = "too little brain was found, or neighbouring voxels have nothing in common"
    found = {"efc": Measured(efc(data)), "gradient_entropy": taken(gradient_entropy(data, mask), small)}
    if widths is None:
        return found | absent(("fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg"), small)
    found |= {f"fwhm_{axis}": Measured(width) for axis, width in zip(AXES, widths, strict=True)}
    return found | {"fwhm_avg": Measured(float(np.mean(widths)))}


def measure_air(data: npt.NDArray[Any], regions: Regions) -> Found:
    """Everything that needs air around the head."""
    air, mask = regions.air, regions.brain
    if not has_air(data, air):
        return absent(AIR_NAMES, "there is too little air around the head, or it was masked")
    corrupted = corrupted_air(data, air)
    found = {
        "air_structure": taken(air_structure(data, air), "the air around the head is in too many pieces"),
        "qi_1": Measured(qi_1(air, corrupted)),
        "qi_2": taken(qi_2(data, air, corrupted), "the air that is left holds no noise"),
        "fber": taken(fber(data, mask, air), "the air around the head is empty"),
    }
    for name, ghost, streak in zip(AXES, ghosts(data, mask, air), streaks(data, mask, air), strict=True):
        found[f"gsr_{name}"] = taken(ghost, "a ghost would hardly fall on air")
        found[f"streak_{name}"] = taken(streak, "there is hardly any air in line with the brain")
    return found


def measure_geometry(image: Volume, mask: Mask, placement: Placement, wanted_mm: float) -> Found:
    """Field of view, voxel size, size of the brain."""
    beyond = beyond_faces_mm(brain_points(placement), image.affine, image.data.shape)
    missing, spacing = cropped_percent(beyond, CROP_TOLERANCE_MM), image.spacing_mm
    sides = cropped_mm(beyond)
    worst = max(FACES, key=sides.__getitem__)
    text = f"{missing:.1f} %, up to {sides[worst]:.0f} mm ({worst})" if missing else ""
    found = {
        "cropped_percent": Measured(missing, text),
        "voxel_deviation_mm": Measured(
            voxel_deviation_mm(spacing, wanted_mm), " x ".join(f"{size:.2f}" for size in spacing) + " mm"
        ),
        "brain_ml": Measured(float(mask.sum() * image.voxel_ml)),
        "atlas_fit": Measured(placement.information),
    }
    return found | {f"cropped_{side}_mm": Measured(value) for side, value in sides.items()}


@functools.cache
def atlas_points() -> npt.NDArray[np.float64]:
    """Points of the atlas brain, 2 mm apart: atlas mm, (N, 3)."""
    atlas = brain()
    points: npt.NDArray[np.float64] = np.argwhere(atlas.data > 0.5) @ atlas.affine[:3, :3].T + atlas.affine[:3, 3]
    return points


def brain_points(placement: Placement) -> npt.NDArray[np.float64]:
    """The points of the atlas brain where they lie on the patient: RAS mm, (N, 3)."""
    laid: npt.NDArray[np.float64] = atlas_points() @ placement.matrix[:3, :3].T + placement.matrix[:3, 3]
    return laid
