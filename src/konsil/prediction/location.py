"""In which part of the brain a lesion lies, by the four classes that count in multiple sclerosis.

    infratentorial     brainstem or cerebellum
    periventricular    touches a ventricle, above the tentorium
    juxtacortical      touches the cortex, and no ventricle
    deep white matter  anything else

The classes are those of the McDonald criteria (Thompson et al. 2018, doi:10.1016/S1474-4422(17)30470-2) and of their
reading guide (Filippi et al. 2019, doi:10.1093/brain/awz144); the first that fits counts. Ventricles are the lateral
ones: the person's own fluid where the MNI152 atlas has them (ventricles.py). Cortex is what is grey on the T1w where
the atlas expects it (cortex.py). The tentorium is the atlas's alone, laid on the head by an affine transform: some
millimetres off in any one person, so these are hints for a reader and no measurement. "Touches" means that voxel
centres are at most CONTACT_MM apart, or one and a half voxels where these are thicker. All points are RAS mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from konsil.cohort.box import box_of, part
from konsil.cohort.growth import distance_mm
from konsil.cohort.volume import Volume
from konsil.evaluation.lesions import TOUCHING
from konsil.prediction.cortex import find_cortex
from konsil.prediction.ventricles import find_ventricles
from konsil.quality.atlas import Placement

CLASSES = ("infratentorial", "periventricular", "juxtacortical", "deep white matter")
CONTACT_MM = 2.0  # two voxels at 1 mm: at the border between two tissues lies one voxel that is part of both

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lesion:
    """One lesion: its label, volume, centre (RAS mm of the image), and class; "" where no atlas was laid."""

    label: str
    volume_ml: float
    centre_mm: tuple[float, float, float]
    location: str = ""


@dataclass(frozen=True)
class Head:
    """What a location is told by: the oriented FLAIR, its brain mask, where the atlas lies, and the T1w, if any.

    Mask and T1w lie on the FLAIR's grid.
    """

    flair: Volume
    brain: Volume
    placement: Placement
    t1w: Volume | None = None


def find_lesions(mask: Volume, labels: dict[str, int], head: Head | None) -> list[Lesion]:
    """Every lesion of a label map (26-connected, as `konsil.evaluation.lesions`), the largest of each label first."""
    found = []
    gaps = distances(head, mask.data > 0) if head is not None and np.any(mask.data) else None
    for label, value in labels.items():
        if value == 0:
            continue
        numbered, number = ndimage.label(mask.data == value, structure=TOUCHING)
        places = ndimage.find_objects(numbered)
        lesions = [describe(numbered, one, places[one - 1], label, mask, head, gaps) for one in range(1, number + 1)]
        found += sorted(lesions, key=lambda lesion: (-lesion.volume_ml, lesion.centre_mm))
    return found


def describe(
    numbered: Any, one: int, box: Any, label: str, mask: Volume, head: Head | None, gaps: tuple[Any, Any] | None
) -> Lesion:
    """Lesion number `one` of a numbered array, which lies in `box`."""
    voxels = np.argwhere(numbered[box] == one) + [edge.start for edge in box]
    points = voxels @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    x, y, z = (round(float(value), 1) for value in points.mean(axis=0))
    location = ""
    if head is not None and gaps is not None:
        nearest = [float(gap[tuple(voxels.T)].min()) for gap in gaps]
        reach_mm = max(CONTACT_MM, 1.5 * float(head.flair.spacing_mm.max()))
        location = classify(points, head.placement, *(gap <= reach_mm for gap in nearest))
    return Lesion(label, len(voxels) * mask.voxel_ml, (x, y, z), location)


def classify(points: npt.NDArray[np.float64], placement: Placement, at_ventricle: bool, at_cortex: bool) -> str:
    """The class of a lesion with these voxel centres (n, 3), by what it touches."""
    inverse = np.linalg.inv(placement.matrix)
    if infratentorial(points @ inverse[:3, :3].T + inverse[:3, 3]).mean() > 0.5:
        return CLASSES[0]
    if at_ventricle:
        return CLASSES[1]
    return CLASSES[2] if at_cortex else CLASSES[3]


def infratentorial(mni: npt.NDArray[np.float64]) -> Mask:
    """Which points (n, 3) of MNI152 space lie in brainstem or cerebellum.

    The brainstem is a column below the midbrain. The tentorium is a roof: highest at the midline, falling half a
    millimetre per millimetre to the sides and, behind y = -75, likewise to the back.
    """
    x, y, z = np.abs(mni[:, 0]), mni[:, 1], mni[:, 2]
    stem = (x <= 14) & (y > -46) & (y < -12) & (z < -8)
    roof = -5 - 0.5 * x - 0.5 * np.clip(-75 - y, 0, None)
    cerebellum = (y < -40) & (z < roof)
    return np.asarray(stem | cerebellum, dtype=np.bool_)


def distances(head: Head, lesions: Mask) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Distance of every voxel of the FLAIR to the next lateral ventricle and to the cortex, mm; infinite without one.

    `lesions`: all that was drawn, which is no cortex however grey it is.
    """
    brain = np.asarray(head.brain.data, dtype=bool)
    to_ventricle, to_cortex = (np.full(brain.shape, np.inf, np.float32) for _ in range(2))
    if not brain.any():
        return to_ventricle, to_cortex
    box = box_of(brain)
    grid, inside, t1w = part(head.flair, box), brain[box], head.t1w
    to_ventricle[box] = away_from(find_ventricles(grid, inside, head.placement), grid)
    own = None if t1w is None else Volume(t1w.data[box], grid.affine)
    found = find_cortex(grid, inside, head.placement, to_ventricle[box], t1w=own, lesions=lesions[box])
    to_cortex[box] = away_from(found, grid)
    return to_ventricle, to_cortex


def away_from(mask: Mask, grid: Volume) -> npt.NDArray[np.float32]:
    """Distance to the nearest voxel of a mask, mm; infinite everywhere for an empty one."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    found: npt.NDArray[np.float32] = distance_mm(mask, grid.spacing_mm)
    return found
