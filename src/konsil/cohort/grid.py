"""Crossing from our images to ITK's and back.

NIfTI's frame is RAS, ITK's is LPS: the first two axes are turned around. Our arrays are indexed [x, y, z], ITK shows
its voxels to numpy as [z, y, x]. Both crossings are made here and nowhere else; files are never read by ITK, because it
rounds and refuses affines by rules of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from konsil.cohort.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])


def as_itk(volume: Volume) -> Any:
    """The same image as ITK's float32, with spacing, direction and origin in LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.astype(np.float32).T))
    axes = volume.affine[:3, :3] / volume.spacing_mm
    image.SetSpacing(volume.spacing_mm.tolist())
    image.SetDirection((LPS_FROM_RAS @ axes).ravel().tolist())
    image.SetOrigin((LPS_FROM_RAS @ volume.affine[:3, 3]).tolist())
    return image


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
    """
    spacing = np.array(image.GetSpacing())
    target = np.maximum(spacing, grid_mm)
    order = sitk.RecursiveGaussianImageFilter.ZeroOrder
    for axis in np.flatnonzero(spacing < 0.8 * grid_mm):
        image = sitk.RecursiveGaussian(image, 0.42 * grid_mm, False, order, int(axis))
    size = np.maximum(np.ceil(np.array(image.GetSize()) * spacing / target), 4).astype(int)
    axes = np.array(image.GetDirection()).reshape(3, 3)
    origin = np.array(image.GetOrigin()) + axes @ ((target - spacing) / 2)
    plan = (size.tolist(), sitk.Transform(), sitk.sitkLinear, origin.tolist(), target.tolist(), image.GetDirection())
    return sitk.Resample(image, *plan)


def ras_matrix(transform: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A linear ITK transform (LPS points to LPS points) as 4 x 4 matrix from RAS to RAS mm."""
    corner = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(tuple(row))) - corner for row in np.eye(3).tolist()]
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_FROM_RAS @ np.array(columns).T @ LPS_FROM_RAS
    matrix[:3, 3] = LPS_FROM_RAS @ corner
    return matrix


def rigid_transform(matrix: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """A rigid 4 x 4 matrix from RAS to RAS mm as ITK's Euler transform (LPS points to LPS points)."""
    transform = sitk.Euler3DTransform()
    transform.SetMatrix((LPS_FROM_RAS @ matrix[:3, :3] @ LPS_FROM_RAS).ravel().tolist())
    transform.SetTranslation((LPS_FROM_RAS @ matrix[:3, 3]).tolist())
    return transform
