"""Lesions of a mask: how many there are and how large each is.

A lesion is a set of voxels of one label that touch by a face, an edge or a corner (26-connectivity), the convention of
the MS segmentation challenges (Carass et al. 2017, doi:10.1016/j.neuroimage.2016.12.064). Volumes are in millilitres.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from konsil.types import Json

TOUCHING = np.ones((3, 3, 3), dtype=np.uint8)  # 26-connectivity


def volumes_ml(mask: npt.NDArray[np.bool_], voxel_mm3: float) -> list[float]:
    """Volumes of the lesions in a boolean mask of shape (I, J, K), largest first."""
    numbered, _ = ndimage.label(mask, structure=TOUCHING)
    sizes = np.bincount(numbered.ravel())[1:]
    return sorted((float(size) * voxel_mm3 / 1000 for size in sizes), reverse=True)


def describe(mask: npt.NDArray[np.integer], labels: dict[str, int], voxel_mm3: float) -> Json:
    """Count and volumes per foreground label: `{"lesion": {"count": 3, "total_ml": 1.2, "largest_ml": 0.9}}`.

    Without a lesion, `largest_ml` is None: there is no largest one.
    """
    table: Json = {}
    for name, value in labels.items():
        if value == 0:
            continue
        sizes = volumes_ml(mask == value, voxel_mm3)
        table[name] = {"count": len(sizes), "total_ml": sum(sizes), "largest_ml": sizes[0] if sizes else None}
    return table
