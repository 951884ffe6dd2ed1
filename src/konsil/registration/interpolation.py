"""Reading an image between its voxels, with the slope at each place.

A registration asks for the value of the moving image at many points and how it changes when they move. Trilinear
interpolation answers both from the same eight voxels; its slope is exact for the value it returns, so a search that
follows it converges. Points lie off the grid on purpose (`konsil.registration.criteria` draws them so): if they lay on
voxels, values would be smoothed more or less depending on the movement, and the movement would be pulled to the grid
(Pluim et al., CVIU 2000).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


class Reading(NamedTuple):
    """`values` (N,), `slopes` (3, N) per voxel along each axis, `inside` (N,): False where the image does not reach."""

    values: Floats
    slopes: Floats
    inside: npt.NDArray[np.bool_]


def read(data: npt.NDArray[np.float32], index: Floats) -> Reading:
    """Trilinear values and slopes of `data` (X, Y, Z; contiguous) at fractional voxel indices (3, N)."""
    limit = np.array(data.shape)[:, None] - 1
    inside: npt.NDArray[np.bool_] = np.all((index >= 0) & (index <= limit), axis=0)
    low = np.clip(np.floor(index), 0, limit - 1).astype(np.intp)
    x, y, z = np.clip(index - low, 0, 1).astype(np.float32)
    along_y, flat = data.shape[2], data.reshape(-1)
    front = low[0] * (along_y * data.shape[1]) + low[1] * along_y + low[2]
    back = front + along_y * data.shape[1]
    (near, near_y, near_z), (far, far_y, far_z) = (plane(flat, start, along_y, y, z) for start in (front, back))
    rise = far - near
    slopes = np.stack([rise, near_y + x * (far_y - near_y), near_z + x * (far_z - near_z)])
    return Reading(near + x * rise, slopes, inside)


def plane(
    flat: npt.NDArray[np.float32], start: npt.NDArray[np.intp], stride: int, y: Floats, z: Floats
) -> tuple[Floats, Floats, Floats]:
    """Bilinear value and its slopes along y and z within one plane; `start` is the flat index of the low corner."""
    a, b, c, d = flat[start], flat[start + 1], flat[start + stride], flat[start + stride + 1]
    low, high = a + z * (b - a), c + z * (d - c)
    return low + y * (high - low), high - low, (b - a) + y * ((d - c) - (b - a))
