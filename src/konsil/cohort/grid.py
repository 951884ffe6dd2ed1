"""Crossing from our images to ITK's and back.

NIfTI's frame is RAS, ITK's is LPS: the first two axes are turned around. Our arrays are indexed [x, y, z], ITK shows
its voxels to numpy as [z, y, x]. Both crossings are made here and nowhere else; files are never read by ITK, because it
rounds and refuses affines by rules of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])

Matrix = npt.NDArray[np.float64]


def as_itk(volume: Volume) -> Any:
    """The same image as ITK's float32, with spacing, direction and origin in LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.T, dtype=np.float32))
    origin, spacing, direction = place_of(volume)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    return image


def place_of(volume: Volume) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction of a volume as ITK wants them."""
    axes = volume.affine[:3, :3] / volume.spacing_mm
    direction = (LPS_FROM_RAS @ axes).ravel().tolist()
    return (LPS_FROM_RAS @ volume.affine[:3, 3]).tolist(), volume.spacing_mm.tolist(), direction


def read_on(
    grid: Volume, volume: Volume, to_volume: Matrix, interpolator: int = sitk.sitkLinear, outside: float = 0.0
) -> npt.NDArray[np.float32]:
    """The values of `volume` on the voxels of `grid`, `outside` beyond its own voxels; float32 (X, Y, Z).

    `to_volume` (4 x 4) maps points of the grid to points of the volume, RAS mm.
    """
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((LPS_FROM_RAS @ to_volume[:3, :3] @ LPS_FROM_RAS).ravel().tolist())
    transform.SetTranslation((LPS_FROM_RAS @ to_volume[:3, 3]).tolist())
    plan = (list(grid.data.shape), transform, interpolator, *place_of(grid), outside, sitk.sitkFloat32)
    found: npt.NDArray[np.float32] = sitk.GetArrayFromImage(sitk.Resample(as_itk(volume), *plan)).T
    return found


def from_itk(image: Any) -> Volume:
    """An ITK image as array [x, y, z] with its RAS affine."""
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = LPS_FROM_RAS @ direction * np.array(image.GetSpacing())
    affine[:3, 3] = LPS_FROM_RAS @ np.array(image.GetOrigin())
    return Volume(sitk.GetArrayFromImage(image).T, affine)


def coarsened(image: Any, grid_mm: float) -> Any:
    """An ITK image smoothed and resampled to about `grid_mm`; axes that are coarser already stay as they are.

    The Gaussian's standard deviation is 0.42 of the new voxel (full width 1), which keeps what the new grid can show.
    Both are linear and go axis by axis, so each axis is done by one matrix; the result is that of ITK's filters.
    """
    spacing = np.array(image.GetSpacing())
    target = np.maximum(spacing, grid_mm)
    data = sitk.GetArrayViewFromImage(image)
    for axis, count in enumerate(image.GetSize()):
        if target[axis] != spacing[axis]:
            weights = weights_along(count, float(spacing[axis]), float(target[axis]), grid_mm)
            data = along(axis, weights, data)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    coarse = sitk.GetImageFromArray(np.ascontiguousarray(data, dtype=np.float32))
    coarse.SetSpacing(target.tolist())
    coarse.SetDirection(image.GetDirection())
    coarse.SetOrigin((np.array(image.GetOrigin()) + axes @ ((target - spacing) / 2)).tolist())
    return coarse


def along(axis: int, weights: npt.NDArray[np.float32], data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`weights` (new, old) applied along x, y or z (`axis` 0, 1, 2) of an array [z, y, x] as ITK keeps it; no copy."""
    if axis == 0:
        return np.asarray(data @ weights.T)
    if axis == 1:
        return np.asarray(np.matmul(weights, data))
    return np.asarray((weights @ data.reshape(len(data), -1)).reshape(-1, *data.shape[1:]))


def weights_along(count: int, spacing_mm: float, target_mm: float, grid_mm: float) -> npt.NDArray[np.float32]:
    """How each new voxel along an axis follows from the `count` old ones, (new, old): what ITK makes of single voxels.

    At least 4 new ones, since ITK's Gaussian (Deriche's recursion) asks for as many.
    """
    single = sitk.GetImageFromArray(np.eye(count, dtype=np.float32))  # along ITK's second axis lie the old voxels
    single.SetSpacing([1.0, spacing_mm])
    if spacing_mm < 0.8 * grid_mm:
        single = sitk.RecursiveGaussian(single, 0.42 * grid_mm, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, 1)
    size, origin = max(int(np.ceil(count * spacing_mm / target_mm)), 4), (target_mm - spacing_mm) / 2
    plan = ([count, size], sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, [0.0, origin], [1.0, target_mm])
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(single, *plan)), dtype=np.float32)


def ras_matrix(transform: Any) -> Matrix:
    """A linear ITK transform (LPS points to LPS points) as 4 x 4 matrix from RAS to RAS mm."""
    corner = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(tuple(row))) - corner for row in np.eye(3).tolist()]
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_FROM_RAS @ np.array(columns).T @ LPS_FROM_RAS
    matrix[:3, 3] = LPS_FROM_RAS @ corner
    return matrix


def rigid_transform(matrix: Matrix) -> Any:
    """A rigid 4 x 4 matrix from RAS to RAS mm as ITK's Euler transform (LPS points to LPS points)."""
    transform = sitk.Euler3DTransform()
    transform.SetMatrix((LPS_FROM_RAS @ matrix[:3, :3] @ LPS_FROM_RAS).ravel().tolist())
    transform.SetTranslation((LPS_FROM_RAS @ matrix[:3, 3]).tolist())
    return transform
