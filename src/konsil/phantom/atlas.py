"""The head every patient is made from: tissue maps of the MNI152 brain, with a head put around them.

The T1, grey and white matter volumes of the MNI152 2009a symmetric template (Fonov et al. 2011) come with nilearn:
197 x 233 x 189 voxels of 1 mm, values 0 to 255, already without skull. Bone, marrow, fat, muscle and eyes are drawn
as shells at fixed distances from the brain and as ellipsoids in world millimetres. Nothing of the template is stored
with Konsil.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from konsil.errors import BadInput, Missing
from konsil.phantom.fields import Floats, Matrix

Mask = npt.NDArray[np.bool_]

PAD_VOXELS = ((12, 12), (16, 16), (30, 22))  # room for the head around the template, 1 mm voxels
SUBARACHNOID_MM, SKULL_MM, SCALP_MM = 2.5, 8.5, 15.0  # distance from the brain at which each shell ends
RESOLUTIONS_MM = (0.8, 6.0)


@dataclass(frozen=True)
class Atlas:
    """Tissue fractions (0 to 1, float32, read-only) on one grid; `affine` maps its voxels to RAS mm.

    `maps` holds wm, gm, csf, fat, marrow, bone, muscle, eye, and the masks ventricles and brain.
    """

    maps: Mapping[str, Floats]
    affine: Matrix
    resolution_mm: float


@lru_cache(maxsize=2)
def load_atlas(resolution_mm: float) -> Atlas:
    """Build the atlas at an isotropic voxel size; kept for the life of the process."""
    low, high = RESOLUTIONS_MM
    if not low <= resolution_mm <= high:
        raise BadInput(
            "the phantom cannot be made at this resolution", expected=f"{low} to {high} mm", got=f"{resolution_mm} mm"
        )
    (t1, gm, wm), affine = template(resolution_mm)
    opened = ndi.binary_opening(t1 > 0.1, iterations=max(1, int(2 / resolution_mm)))
    brain = ndi.binary_fill_holes(opened)
    maps = brain_maps(gm, wm, brain, affine, resolution_mm) | head_maps(brain, affine, resolution_mm)
    for volume in maps.values():
        volume.flags.writeable = False
    return Atlas(MappingProxyType(maps), affine, resolution_mm)


def template(resolution_mm: float) -> tuple[list[Floats], Matrix]:
    """The padded T1, GM and WM volumes (0 to 1) at the wanted voxel size, and their affine."""
    images = [nib.Nifti1Image.from_filename(template_path(kind)) for kind in ("t1", "gm", "wm")]
    affine = np.array(images[0].affine, dtype=np.float64)
    affine[:3, 3] -= [before for before, _ in PAD_VOXELS]
    volumes: list[Floats] = [
        np.pad(np.asarray(i.dataobj), PAD_VOXELS).astype(np.float32) / np.float32(255) for i in images
    ]
    if resolution_mm == 1.0:
        return volumes, affine
    affine[:3, :3] *= resolution_mm
    affine[:3, 3] += (resolution_mm - 1) / 2
    return [shrink(volume, resolution_mm) for volume in volumes], affine


def template_path(kind: str) -> Path:
    """Where nilearn keeps a template volume; found without importing nilearn, which takes seconds."""
    found = find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise Missing("the MNI152 template is not there", hint="Install it with: pip install 'konsil[imaging]'")
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    path = folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise Missing("the MNI152 template is not there", expected=f"{path.name} inside nilearn")
    return path


def shrink(volume: Floats, factor: float) -> Floats:
    """Blur and sample a volume `factor` times more coarsely, voxel borders aligned."""
    blurred = ndi.gaussian_filter(volume, 0.4 * factor)
    return np.asarray(ndi.zoom(blurred, 1 / factor, order=1, grid_mode=True, mode="nearest"), dtype=np.float32)


def world_axes(shape: tuple[int, ...], affine: Matrix) -> list[Floats]:
    """World x, y and z of the voxels of an axis-aligned grid, each shaped to broadcast over (i, j, k)."""
    axes = []
    for axis in range(3):
        points = affine[axis, axis] * np.arange(shape[axis]) + affine[axis, 3]
        axes.append(points.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)]))
    return axes


def brain_maps(gm: Floats, wm: Floats, brain: Mask, affine: Matrix, resolution_mm: float) -> dict[str, Floats]:
    """Grey and white matter and CSF inside the dura, the mask of the brain and that of the lateral ventricles."""
    outside_mm = ndi.distance_transform_edt(~brain, sampling=resolution_mm)
    dura = outside_mm < SUBARACHNOID_MM
    csf = np.clip(1 - gm - wm, 0, 1) * dura
    depth_mm = ndi.distance_transform_edt(brain, sampling=resolution_mm)
    x, _, z = world_axes(brain.shape, affine)
    deep = (csf > 0.6) & (depth_mm > 18) & (np.abs(x) < 40) & (z > -15) & (z < 40)
    return {
        "wm": (wm * dura).astype(np.float32),
        "gm": (gm * dura).astype(np.float32),
        "csf": csf.astype(np.float32),
        "ventricles": largest_parts(deep, 2).astype(np.float32),
        "brain": brain.astype(np.float32),
    }


def largest_parts(mask: Mask, count: int) -> Mask:
    """The `count` largest connected parts of a mask."""
    labels, found = ndi.label(mask)
    if found <= count:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    return np.isin(labels, 1 + np.argsort(sizes)[-count:])


def head_maps(brain: Mask, affine: Matrix, resolution_mm: float) -> dict[str, Floats]:
    """Bone, marrow, fat, muscle and eyes around the brain, with soft borders."""
    x, y, z = world_axes(brain.shape, affine)
    outside_mm = ndi.distance_transform_edt(~brain, sampling=resolution_mm)
    face = (x / 62) ** 2 + ((y - 42) / 56) ** 2 + ((z + 55) / 62) ** 2 < 1
    neck = ((x / 58) ** 2 + ((y + 38) / 62) ** 2 < 1) & (z < -35)
    solid = ((outside_mm < SCALP_MM) | face | neck).astype(np.float32)
    head = ndi.gaussian_filter(solid, 4 / resolution_mm) > 0.5
    under_skin_mm = ndi.distance_transform_edt(head, sampling=resolution_mm)
    skull = head & (outside_mm >= SUBARACHNOID_MM) & (outside_mm < SKULL_MM) & ~brain
    soft = head & (outside_mm >= SKULL_MM)
    sinus = ((x / 16) ** 2 + ((y - 62) / 26) ** 2 + ((z + 52) / 22) ** 2 < 1) & (outside_mm > 6)
    eye = ((np.abs(x) - 32) / 12) ** 2 + ((y - 72) / 12) ** 2 + ((z + 36) / 12) ** 2 < 1
    eye &= (skull | soft) & ~sinus
    marrow = skull & (outside_mm > 4.2) & (outside_mm < 6.8) & (z > -20)
    fat = soft & (under_skin_mm > 1.2) & (under_skin_mm < 5)
    masks = {"fat": fat, "marrow": marrow, "bone": skull & ~marrow, "muscle": soft & ~fat}
    masks = {name: mask & ~eye & ~sinus for name, mask in masks.items()} | {"eye": eye}
    return {name: ndi.gaussian_filter(mask.astype(np.float32), 0.5 / resolution_mm) for name, mask in masks.items()}
