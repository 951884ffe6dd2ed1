"""The MNI152 2009a atlas, and where it lies on a patient's image.

nilearn ships T1, grey and white matter of the symmetric MNI152 nonlinear 2009a atlas (Fonov et al., NeuroImage 2011) at
1 mm. Its T1 shows the brain alone. A brain laid on a whole head by mutual information likes to grow until it fills the
scalp; so a dark skull and a bright scalp are drawn around it first (7 to 8 mm of skull and fluid, 7 mm of scalp), which
holds it in place on T1w and FLAIR alike, and does no harm on images whose skull was removed. Nothing of the atlas is
written to disk.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.box import box_of, carried, part
from konsil.cohort.grid import as_itk, coarsened, from_itk, ras_matrix, read_on
from konsil.cohort.volume import Volume, read_volume
from konsil.errors import BadInput, Missing

GRID_MM = 4.0
PAD = 6  # voxels of 4 mm around the brain: room for skull, scalp and some air
SCALP_VALUE, SKULL_VALUE = 320.0, 15.0  # beside white matter at 255
SKULL_MM, SCALP_MM, RIM_MM = 8.0, 15.0, 22.0  # distance from the brain at which each ends
FACE_BELOW_MM = -25.0  # below this height (MNI z) face and neck differ too much between people
BRAIN_TOP_MM = 75.0  # the middle of the brain lies about this far below the top of the head
LEAST_HEAD_ML = 300.0  # of bright voxels: a child's brain alone has three times as much
LEAST_INFORMATION = 0.05  # nats: heads reach 0.4 and more, noise stays near 0
SEED = 7


@dataclass(frozen=True)
class Placement:
    """Where the atlas lies: `matrix` (4 x 4) maps atlas to image points, RAS mm; `information` in nats."""

    matrix: npt.NDArray[np.float64]
    information: float


def read_atlas(tissue: str) -> Volume:
    """One volume of the atlas: "t1", "gm" or "wm", values 0 to 255, 1 mm. Raises `Missing` without nilearn."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise Missing("the MNI152 atlas is not there", hint="Install it with: pip install 'konsil[imaging]'")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    return read_volume(folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz", f"the atlas volume {tissue}")


@functools.cache
def anatomy() -> tuple[Any, Any]:
    """T1 and brain (1 inside, holes filled) of the atlas at 1 mm, as ITK images; the T1 is 0 outside the brain."""
    image = as_itk(read_atlas("t1"))
    return image, sitk.BinaryFillhole(sitk.Cast(image > 0, sitk.sitkUInt8))


@functools.cache
def brain() -> Volume:
    """The atlas brain on a 2 mm grid, share of brain in each voxel, 0 to 1."""
    return from_itk(coarsened(sitk.Cast(anatomy()[1], sitk.sitkFloat32), 2.0))


@functools.cache
def tissues() -> tuple[Volume, Volume]:
    """Grey plus white matter, and fluid, as fractions 0 to 1 on a 2 mm grid within the atlas brain."""
    grey, white = (from_itk(coarsened(as_itk(read_atlas(tissue)), 2.0)) for tissue in ("gm", "wm"))
    matter = np.clip((grey.data + white.data) / 255, 0, 1)
    inside = brain().data
    return Volume(matter * inside, grey.affine), Volume((1 - matter) * inside, grey.affine)


@functools.cache
def head() -> tuple[Any, Any]:
    """The atlas with skull and scalp on a 4 mm grid, and the mask in which it is compared; ITK images."""
    image = sitk.ConstantPad(coarsened(anatomy()[0], GRID_MM), [PAD] * 3, [PAD] * 3, 0.0)
    inside = sitk.Resample(anatomy()[1], image, sitk.Transform(), sitk.sitkNearestNeighbor)
    far = sitk.SignedMaurerDistanceMap(inside, squaredDistance=False, useImageSpacing=True)
    distance, values = from_itk(far).data, from_itk(image)
    data = np.select(
        [distance <= 0, distance < SKULL_MM, distance < SCALP_MM], [values.data, SKULL_VALUE, SCALP_VALUE], 0.0
    )
    height = values.affine[2, 3] + values.affine[2, 2] * np.arange(data.shape[2])
    rim = np.where(height < FACE_BELOW_MM, 2.0, RIM_MM)
    mask = as_itk(Volume(distance < rim, values.affine))
    return sitk.DiscreteGaussian(as_itk(Volume(data, values.affine)), [GRID_MM] * 3), sitk.Cast(mask, sitk.sitkUInt8)


def place_atlas(image: Volume) -> Placement:
    """Lay the atlas on an oriented T1w or FLAIR: four starts, then 12 degrees of freedom.

    Raises `BadInput` if the image shows nothing that a head could be laid on.
    """
    target = coarsened(as_itk(image), GRID_MM)
    try:
        tries = [align(start, target, step_mm=4.0, share=0.10) for start in starts(head_centre(target))]
        _, best = max(tries, key=lambda pair: pair[0])
        affine = sitk.AffineTransform(3)
        affine.SetCenter(best.GetCenter())
        affine.SetMatrix(best.GetMatrix())
        affine.SetTranslation(best.GetTranslation())
        information, affine = align(affine, target, step_mm=1.5, share=0.30)
    except RuntimeError as error:
        raise BadInput("no brain was found in the image", expected="a T1w or FLAIR of a head") from error
    if information < LEAST_INFORMATION:
        raise BadInput("no brain was found in the image", expected="a T1w or FLAIR of a head")
    return Placement(ras_matrix(affine), information)


def head_centre(image: Any) -> npt.NDArray[np.float64]:
    """Where the middle of the brain should be, LPS mm: in the middle of the upper head, BRAIN_TOP_MM below its top."""
    blurred = from_itk(sitk.SmoothingRecursiveGaussian(image, GRID_MM))
    bright = sitk.OtsuThreshold(as_itk(blurred), 0, 1)
    indices = np.argwhere(from_itk(bright).data)
    if len(indices) * blurred.voxel_ml < LEAST_HEAD_ML:
        raise BadInput("no head was found in the image", expected="a bright head on a dark background")
    points = indices @ blurred.affine[:3, :3].T + blurred.affine[:3, 3]
    top = np.percentile(points[:, 2], 99.9)
    upper = points[points[:, 2] > top - 1.5 * BRAIN_TOP_MM]
    low, high = np.percentile(upper, [1, 99], axis=0)
    x, y, _ = (low + high) / 2
    return np.array([-x, -y, top - BRAIN_TOP_MM])


def starts(centre: npt.NDArray[np.float64]) -> list[Any]:
    """Four first guesses: two heights, and the head nodding forward or back."""
    indices = np.argwhere(brain().data > 0.5)
    middle = (indices.min(0) + indices.max(0)) / 2 @ brain().affine[:3, :3].T + brain().affine[:3, 3]
    own = middle * [-1, -1, 1]
    guesses = []
    for lower_mm in (0.0, 14.0):
        for nod_rad in (-0.2, 0.15):
            guess = sitk.Similarity3DTransform()
            guess.SetCenter(own.tolist())
            guess.SetRotation((1.0, 0.0, 0.0), nod_rad)
            guess.SetTranslation((centre - own - [0, 0, lower_mm]).tolist())
            guess.SetScale(0.95)  # MNI brains are larger than most people's
            guesses.append(guess)
    return guesses


def align(transform: Any, target: Any, *, step_mm: float, share: float) -> tuple[float, Any]:
    """Improve `transform` (atlas to image points); returns mutual information in nats and the transform."""
    fixed, mask = head()
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMattesMutualInformation(32)
    registration.SetMetricFixedMask(mask)
    registration.SetMetricSamplingStrategy(registration.RANDOM)
    registration.SetMetricSamplingPercentage(share, SEED)
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetOptimizerAsRegularStepGradientDescent(step_mm, 0.02, 50, 0.6, 1e-5)
    registration.SetOptimizerScalesFromPhysicalShift()
    registration.SetNumberOfThreads(1)
    registration.SetInitialTransform(transform, True)
    registration.Execute(fixed, target)
    return -float(registration.GetMetricValue()), transform


def lay(volume: Volume, placement: Placement, grid: Volume) -> npt.NDArray[np.float32]:
    """Values of an atlas volume on the voxels of `grid`, linear between atlas voxels, 0 outside; float32 (X, Y, Z)."""
    laid = np.zeros_like(grid.data, np.float32)
    to_index = np.linalg.inv(grid.affine) @ placement.matrix @ volume.affine
    margin = np.abs(to_index[:3, :3]).sum(axis=1)  # an atlas voxel, over which the last values fade
    box = carried(box_of(volume.data > 0), to_index, grid.data.shape, margin)
    to_atlas = np.linalg.inv(placement.matrix).astype(np.float64)
    laid[box] = read_on(part(grid, box), volume, to_atlas)
    return laid
