"""Taking the face out of an image that is handed on.

A head can be drawn from its voxels and recognised (Schwarz et al., NEJM 2019), so images that leave their hospital
within a project lose the face. As in mri_deface and Quickshear (Bischoff-Grethe et al., Hum Brain Mapp 2007; Schimke
and Hale 2011) a plane runs below the frontal lobe and in front of the temporal lobes; what lies before and below it is
face and is set to 0: eyes, nose, mouth, chin. The plane is given on the MNI152 atlas and carried over by the affine
that lays the atlas on the image. Ears and the back of the neck stay.

Nothing within a margin of the brain mask is touched, wherever the plane runs: a learner sees the same brain.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from konsil.cohort.export import Change
from konsil.cohort.frozen import FrozenCase
from konsil.cohort.growth import grown
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.errors import BadInput
from konsil.quality.atlas import Placement, place_atlas
from konsil.quality.masks import draw
from konsil.types import Json

log = logging.getLogger(__name__)
HEADS = ("FLAIR", "T1w")
"""Channels that show the whole head, the one preferred for finding the face first."""
MARGIN_MM = 5.0
FRONT = (80.0, -5.0)
"""Where the plane passes before the frontal pole: y and z in mm on the atlas (RAS)."""
BELOW = (0.0, -62.0)
"""Where it passes below the temporal lobes."""
BACK_MM = -10.0
"""What lies further back (y on the atlas) is no face."""


def face(image: Volume, placement: Placement) -> npt.NDArray[np.bool_]:
    """Voxels of an image, (X, Y, Z), that lie before and below the plane; the brain is not looked at."""
    to_atlas = np.linalg.inv(placement.matrix) @ image.affine
    indices = np.ogrid[tuple(slice(size) for size in image.data.shape)]
    y, z = (sum(row[k] * indices[k] for k in range(3)) + row[3] for row in to_atlas[1:3])
    slope = (FRONT[1] - BELOW[1]) / (FRONT[0] - BELOW[0])
    found: npt.NDArray[np.bool_] = (z < BELOW[1] + slope * (y - BELOW[0])) & (y > BACK_MM)
    return found


def face_of(image: Volume, *, margin_mm: float = MARGIN_MM) -> npt.NDArray[np.bool_]:
    """The voxels to empty on the grid of `image`, a T1w or FLAIR of a head: the face, less brain and margin.

    Raises `BadInput` if no head is found.
    """
    placement = place_atlas(image)
    brain = draw(image, placement).data > 0
    return face(image, placement) & ~grown(brain, image.spacing_mm, margin_mm)


def defaced(image: Volume, emptied: npt.NDArray[np.bool_]) -> Volume:
    """The image with 0 in the emptied voxels; every other voxel is the same to the last bit."""
    data = image.data.copy()
    data[emptied] = 0
    return Volume(data, image.affine)


def without_faces(margin_mm: float = MARGIN_MM) -> Change:
    """How `konsil.cohort.export` writes a case without its face.

    The face is found on one whole-head image, FLAIR if there is one; all channels lie on its grid. Channels that show
    the brain alone lose what of the face is left in their margin.
    """

    def write(case: FrozenCase, sources: dict[str, Path], targets: dict[str, Path]) -> Json:
        log.info("deface %s", case.case)
        images = {channel: read_volume(path, f"the {channel} of {case.case}") for channel, path in sources.items()}
        reference = next(name for name in (*HEADS, *images) if name in images)
        emptied = face_of(images[reference], margin_mm=margin_mm)
        for channel, image in images.items():
            if image.data.shape != emptied.shape:
                raise BadInput(f"the {channel} of {case.case} does not lie on the grid of its {reference}")
            write_volume(targets[channel], defaced(image, emptied))
        return {"Defaced": True, "DefacingMarginMm": margin_mm}

    return write
