"""Lesions of white matter, as in multiple sclerosis.

A lesion is an ellipsoid with an irregular border, at one of the three typical places (McDonald criteria, Thompson et
al. 2018): beside the ventricles, beneath the cortex, or deep in white matter. Number and total volume are drawn for
each patient around the site's medians; the radii are log-normal and then scaled to meet the drawn volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from konsil.phantom.anatomy import Anatomy
from konsil.phantom.fields import Floats, rotation, smooth_field
from konsil.phantom.profile import Site

SHARES = {"periventricular": 0.5, "juxtacortical": 0.2, "deep": 0.3}
COUNT_SD, VOLUME_SD, RADIUS_SD = 0.5, 0.6, 0.45  # of the logarithms
COUNT_RANGE, VOLUME_ML_RANGE = (4, 80), (1.5, 45.0)
MEDIAN_RADIUS_MM = 2.5
RADIUS_RANGE_MM = (1.3, 9.0)
ROUGHNESS = 0.22  # of the border, as a share of the radius
OVERDRAW = 1.65  # ellipsoids overlap each other and what is not white matter: draw more than is wanted

Centres = npt.NDArray[np.intp]


def make_lesions(rng: np.random.Generator, anatomy: Anatomy, site: Site) -> Floats:
    """Lesion fraction of every voxel of the patient's grid: float32 (i, j, k), 0 to 1; 0.5 is the border."""
    places = lesion_places(anatomy)
    lesions = np.zeros(anatomy.maps["wm"].shape, np.float32)
    for radius_mm in draw_radii(rng, site):
        centres = places[rng.choice(list(SHARES), p=list(SHARES.values()))]
        if len(centres):
            add_lesion(rng, lesions, centres[rng.integers(len(centres))], radius_mm / anatomy.resolution_mm)
    return lesions * tissue_that_can_hold(anatomy)


def draw_radii(rng: np.random.Generator, site: Site) -> npt.NDArray[np.float64]:
    """Mean radius in mm of each lesion of one patient."""
    count = int(np.clip(rng.lognormal(np.log(site.lesion_count), COUNT_SD), *COUNT_RANGE))
    volume_mm3 = 1000 * OVERDRAW * np.clip(rng.lognormal(np.log(site.lesion_ml), VOLUME_SD), *VOLUME_ML_RANGE)
    radii = rng.lognormal(np.log(MEDIAN_RADIUS_MM), RADIUS_SD, count)
    radii *= (volume_mm3 / (4 / 3 * np.pi * (radii**3).sum())) ** (1 / 3)
    return np.clip(radii, *RADIUS_RANGE_MM)


def lesion_places(anatomy: Anatomy) -> dict[str, Centres]:
    """Voxels at which a lesion of each kind may be centred: kind -> (n, 3)."""
    step = anatomy.resolution_mm
    wm = anatomy.maps["wm"] > 0.75
    from_ventricle_mm = ndi.distance_transform_edt(anatomy.maps["ventricles"] <= 0.5, sampling=step)
    cortex = (anatomy.maps["gm"] > 0.6) & (from_ventricle_mm > 12)
    from_cortex_mm = ndi.distance_transform_edt(~cortex, sampling=step)
    return {
        "periventricular": np.argwhere(wm & (from_ventricle_mm > 1) & (from_ventricle_mm < 7)),
        "juxtacortical": np.argwhere(wm & (from_cortex_mm < 3) & (from_ventricle_mm > 15)),
        "deep": np.argwhere(wm & (from_cortex_mm > 4) & (from_ventricle_mm > 8)),
    }


def add_lesion(rng: np.random.Generator, lesions: Floats, centre: Centres, radius_vox: float) -> None:
    """Draw one ellipsoid into `lesions`, in place: 1 inside, 0 outside, a soft border at the radius."""
    reach = int(np.ceil(2 * radius_vox)) + 2
    box = tuple(
        slice(max(0, c - reach), min(size, c + reach + 1)) for c, size in zip(centre, lesions.shape, strict=True)
    )
    offsets = np.stack(
        np.meshgrid(*[np.arange(b.start, b.stop) - c for b, c in zip(box, centre, strict=True)], indexing="ij")
    )
    radii = radius_vox * rng.uniform(0.7, 1.4, 3)
    turned = np.einsum("ab,bijk->aijk", rotation(rng.uniform(0, np.pi, 3)), offsets) / radii[:, None, None, None]
    distance = np.sqrt((turned**2).sum(axis=0))  # 1 on the border
    distance += ROUGHNESS * smooth_field(rng, distance.shape, max(2.0, radius_vox))
    lesions[box] = np.maximum(lesions[box], np.clip((1.25 - distance) / 0.5, 0, 1))


def tissue_that_can_hold(anatomy: Anatomy) -> Floats:
    """Share of each voxel that a lesion may replace: white matter, half of grey matter, never the ventricles."""
    share = np.clip(1.4 * (anatomy.maps["wm"] + 0.5 * anatomy.maps["gm"]), 0, 1)
    return np.asarray(share * (anatomy.maps["ventricles"] <= 0.5), dtype=np.float32)
