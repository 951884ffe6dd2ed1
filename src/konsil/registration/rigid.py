"""Rigid registration: the one movement (three angles, three shifts) that lays a moving image on a fixed one.

Mattes mutual information (Mattes et al., IEEE TMI 2003) tells how well one image predicts the other without asking that
their contrasts agree; its unit is nats, more is better (ITK minimises the negative). Two levels, 4 mm then 2 mm, from
the better of two starts: where the scanner says the head lay, and with the centres of the two brains on each other. A
start that explains more than what was found from it is kept: images that the scanner's software laid on one grid agree
best untouched.
The result depends on nothing but its input: samples are drawn from a fixed seed and summed by one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from konsil.cohort.grid import LPS_FROM_RAS, as_itk, coarsened
from konsil.cohort.volume import Volume
from konsil.errors import BadInput

SEED = 7
BINS = 32
LEVELS = ((4.0, 0.30, 2.0), (2.0, 0.10, 0.5))  # grid in mm, share of the voxels in the mask, first step in mm
ITERATIONS = 40
MARGIN_MM = 8.0  # the skull's inner edge helps; the neck and the jaw move on their own


@dataclass(frozen=True)
class Movement:
    """A rigid movement and how much it explains.

    `transform` maps fixed to moving points in LPS mm (as ITK's resampling wants it); information in nats.
    """

    transform: Any
    rotation_deg: float
    translation_mm: float
    information_before: float
    information_after: float


def find_rigid(
    fixed: Volume, moving: Volume, fixed_brain: npt.NDArray[Any], moving_brain: npt.NDArray[Any]
) -> Movement:
    """The movement from `fixed` points to `moving` points; masks are boolean (X, Y, Z) on their own image's grid.

    `translation_mm` is how far the centre of the fixed brain moves. Raises `BadInput` if there is nothing to compare.
    """
    centre = centre_of(fixed, fixed_brain)
    shift = centre_of(moving, moving_brain) - centre
    starts = [movement_about(centre, np.zeros(3)), movement_about(centre, shift)]
    mask = dilated(Volume(fixed_brain, fixed.affine))
    levels = pyramid(as_itk(fixed), as_itk(moving), mask)
    try:
        start = max(starts, key=levels[0].information)
        refined = sitk.Euler3DTransform(start)
        for level in levels:
            level.refine(refined)
        before = levels[0].information(starts[0])
        transform = max(refined, *starts, key=levels[0].information)
        after = levels[0].information(transform)
    except RuntimeError as error:
        raise BadInput(
            "the T1w and the FLAIR cannot be registered",
            expected="two images of the same head that overlap",
            hint="Look whether both series belong to the same patient and session",
        ) from error
    moved = np.array(transform.TransformPoint(centre.tolist())) - centre
    return Movement(transform, angle_deg(transform), float(np.linalg.norm(moved)), before, after)


def centre_of(volume: Volume, mask: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Centre of mass of a mask, LPS mm."""
    indices = np.argwhere(mask)
    if len(indices) == 0:
        raise BadInput("a brain mask is empty", expected="a mask from: konsil mask COHORT")
    point: npt.NDArray[np.float64] = LPS_FROM_RAS @ (volume.affine[:3, :3] @ indices.mean(0) + volume.affine[:3, 3])
    return point


def movement_about(centre: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> Any:
    """A rigid transform that turns about `centre` and, for a start, only shifts."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetTranslation(shift.tolist())
    return transform


def dilated(mask: Volume) -> Any:
    """A mask grown by MARGIN_MM, as ITK image of bytes."""
    image = sitk.Cast(as_itk(mask), sitk.sitkUInt8)
    radius = [max(1, round(MARGIN_MM / size)) for size in mask.spacing_mm]
    return sitk.BinaryDilate(image, radius)


@dataclass(frozen=True)
class Level:
    """One level of the pyramid: both images on its grid, and how finely they are compared there."""

    fixed: Any
    moving: Any
    mask: Any
    share: float
    step_mm: float

    def method(self, start: Any) -> Any:
        """Mattes mutual information over a seeded sample of the masked voxels, in one thread, beginning at `start`."""
        registration = sitk.ImageRegistrationMethod()
        registration.SetMetricAsMattesMutualInformation(BINS)
        registration.SetMetricFixedMask(self.mask)
        registration.SetMetricSamplingStrategy(registration.RANDOM)
        registration.SetMetricSamplingPercentage(self.share, SEED)
        registration.SetInterpolator(sitk.sitkLinear)
        registration.SetNumberOfThreads(1)
        registration.SetInitialTransform(start, True)
        return registration

    def information(self, transform: Any) -> float:
        """Mutual information in nats at `transform`."""
        method = self.method(sitk.Euler3DTransform(transform))
        return -float(method.MetricEvaluate(self.fixed, self.moving))

    def refine(self, transform: Any) -> None:
        """Improve `transform` in place."""
        method = self.method(transform)
        method.SetOptimizerAsRegularStepGradientDescent(self.step_mm, 0.005, ITERATIONS, 0.6, 1e-6)
        method.SetOptimizerScalesFromPhysicalShift()
        method.Execute(self.fixed, self.moving)


def pyramid(fixed: Any, moving: Any, mask: Any) -> list[Level]:
    """The levels of LEVELS, coarse to fine; ITK images."""
    return [
        Level(coarsened(fixed, grid_mm), coarsened(moving, grid_mm), mask, share, step_mm)
        for grid_mm, share, step_mm in LEVELS
    ]


def angle_deg(transform: Any) -> float:
    """The one angle by which a rigid transform turns, in degrees."""
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))))
