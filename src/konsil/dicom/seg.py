"""Lesion masks as DICOM Segmentation objects (PS3.3 A.51), the form in which a hospital's archive keeps a drawing.

A SEG holds the frames that are not empty, one bit per voxel, says which series it was drawn on, and carries that
series' frame of reference. DICOM counts world points in LPS mm (x to the left, y to the back); everywhere else in
Konsil they are RAS mm, so the functions here speak RAS and change sides at the file.
"""

from __future__ import annotations

import hashlib
import logging
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from konsil import __version__
from konsil.errors import BadInput, Missing
from konsil.files import replacing

if TYPE_CHECKING:  # both cost a second, which only those pay who read or write a segmentation
    import highdicom
    from pydicom import Dataset

Mask = npt.NDArray[np.uint8]
Affine = npt.NDArray[np.float64]
Grid = tuple[tuple[int, ...], Affine]  # shape and voxel-to-world affine (4x4, RAS mm) of an image

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.02  # DICOM writes positions with about six decimals, NIfTI in float32
SERIES_NUMBER = 900  # beyond what a scanner counts to
SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
LARGEST_VOXELS = 1 << 29  # a head at 0.5 mm has a fifth of that


def write_seg(
    mask: npt.NDArray[Any],
    affine: Affine,
    source: Sequence[Dataset],
    path: Path,
    *,
    creator: str = "",
    algorithm: str = "",
    moment: datetime | None = None,
) -> None:
    """Write a lesion mask as a BINARY segmentation of the MR series it was drawn on.

    `mask` (i, j, k) holds 0 and 1 and at least one 1; its voxels, placed by `affine` (4x4, RAS mm), are voxels of the
    series, in any axis order. `source` are the slices of the series in any order (`read_series`; pixels not needed).
    `creator` is a person; `algorithm` the name of a program: with it the segment is marked AUTOMATIC, else MANUAL.
    `moment` is when it was drawn, by default when the study was made. UIDs follow from series, mask and algorithm:
    writing the same mask twice gives the same bytes. Raises BadInput for a mask that is empty, not binary, or not on
    the grid of the series.
    """
    from konsil.dicom.reading import discreet

    check_binary(mask)
    slices = ordered(source)
    shape, grid_affine = series_grid(slices)
    pixels = on_grid(mask.astype(np.uint8), np.asarray(affine, dtype=np.float64), (shape, grid_affine))
    with discreet():  # highdicom's warnings repeat names
        seg = describe(pixels, slices, creator, algorithm)
    make_repeatable(seg, slices[0], moment)
    with replacing(path) as part:
        seg.save_as(part)


def read_seg(path: Path, grid: Grid | None = None) -> tuple[Mask, Affine]:
    """Read a lesion segmentation: uint8 mask (i, j, k; 1 = lesion) and its affine (4x4, RAS mm, closest canonical).

    Without `grid` the mask spans the frames that the file holds: empty ones are usually left out. With `grid`, shape
    and affine of the image it was drawn on, the mask comes on exactly that grid. Several segments are united.
    Raises Missing where there is no file, and BadInput for anything but a binary segmentation of regular slices, or one
    that does not lie on `grid`.
    """
    import nibabel as nib

    seg = load(path)
    with legible():
        volume = seg.get_volume(skip_overlap_checks=True)
        united = np.asarray(volume.array).reshape(*volume.spatial_shape, -1).any(axis=3).astype(np.uint8)
    image = nib.as_closest_canonical(nib.Nifti1Image(united, LPS_TO_RAS @ volume.affine))
    mask, affine = np.asarray(image.dataobj, dtype=np.uint8), np.asarray(image.affine, dtype=np.float64)
    return (mask, affine) if grid is None else (on_grid(mask, affine, grid), np.asarray(grid[1]))


def referenced_series(path: Path) -> str:
    """SeriesInstanceUID of the series that a segmentation was drawn on."""
    for item in getattr(load(path), "ReferencedSeriesSequence", []):
        return str(item.SeriesInstanceUID)
    raise BadInput("this segmentation does not say on which series it was drawn", expected="a ReferencedSeriesSequence")


def read_series(folder: Path) -> list[Dataset]:
    """The slices of the one DICOM series in a folder, without pixels, in spatial order."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    slices = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            slices.append(pydicom.dcmread(path, stop_before_pixels=True))
        except InvalidDicomError:
            continue
    if len({str(item.SeriesInstanceUID) for item in slices}) != 1:
        raise BadInput("this folder cannot be read as a series", expected="the slices of exactly one DICOM series")
    return ordered(slices)


def load(path: Path) -> highdicom.seg.Segmentation:
    """Open a file as a binary segmentation that has frames."""
    import highdicom

    from konsil.dicom.reading import read_dicom

    if not path.is_file():
        raise Missing("the segmentation is not there", expected="a DICOM SEG file")
    with legible():
        seg = highdicom.seg.Segmentation.from_dataset(checked(read_dicom(path, (), pixels=True)), copy=False)
        placed = seg.get_volume_geometry()
    if placed is None:
        raise BadInput("this segmentation cannot be read", expected="frames that lie in regular parallel slices")
    if math.prod(placed.spatial_shape) > LARGEST_VOXELS:
        raise BadInput("this segmentation cannot be read", expected="frames that lie close together")
    return seg


@contextmanager
def legible() -> Iterator[None]:
    """Say in a sentence whatever the libraries raise for a file that is broken."""
    from pydicom.errors import InvalidDicomError

    from konsil.dicom.reading import BROKEN, discreet

    try:
        with discreet():
            yield
    except (InvalidDicomError, *BROKEN, RuntimeError, sqlite3.Error) as error:  # highdicom keeps frames in a table
        got = type(error).__name__
        raise BadInput("this segmentation cannot be read", expected="a whole DICOM SEG file", got=got) from error


def checked(dataset: Dataset) -> Dataset:
    """The same data set if it is a binary segmentation with all its pixels."""
    if dataset.get("SOPClassUID") != SEG_CLASS:
        raise BadInput("this is not a segmentation", expected=f"SOP class {SEG_CLASS}")
    if dataset.get("SegmentationType") != "BINARY":
        raise BadInput("this segmentation cannot be read", expected="SegmentationType BINARY")
    voxels = math.prod(int(dataset.get(name) or 0) for name in ("Rows", "Columns", "NumberOfFrames"))
    whole = dataset.file_meta.TransferSyntaxUID.is_encapsulated or len(dataset.PixelData) >= voxels // 8
    if not 0 < voxels <= LARGEST_VOXELS or not whole:
        raise BadInput("this segmentation cannot be read", expected="as many pixels as its header announces")
    return dataset


def check_binary(mask: npt.NDArray[Any]) -> None:
    """Refuse a mask that is not a volume of zeros and at least one 1."""
    if mask.ndim != 3:
        raise BadInput("this lesion mask is not usable", expected="three axes (i, j, k)", got=f"{mask.ndim}")
    values = np.unique(mask)
    if not np.isin(values, (0, 1)).all():
        raise BadInput(
            "this lesion mask is not usable", expected="values 0 and 1", got=f"{len(values)} different values"
        )
    if not values.any():
        raise BadInput(
            "this lesion mask is empty",
            expected="at least one voxel",
            hint="Write no segmentation for a case without lesions",
        )


def ordered(source: Sequence[Dataset]) -> list[Dataset]:
    """Slices sorted along the normal of their plane."""
    if not source:
        raise BadInput("the series of a segmentation has no slices", expected="at least one")
    cosines = np.asarray(source[0].ImageOrientationPatient, dtype=np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    return sorted(source, key=lambda item: float(np.dot(normal, np.asarray(item.ImagePositionPatient, dtype=float))))


def series_grid(slices: Sequence[Dataset]) -> Grid:
    """Shape (slices, rows, columns) of ordered slices, and the affine of these indices in RAS mm."""
    first = slices[0]
    positions = np.array([item.ImagePositionPatient for item in slices], dtype=np.float64)
    cosines = np.asarray(first.ImageOrientationPatient, dtype=np.float64)
    between_rows, between_columns = (float(x) for x in first.PixelSpacing)
    thickness = float(first.get("SpacingBetweenSlices", None) or first.get("SliceThickness", None) or 1)
    step = np.cross(cosines[:3], cosines[3:]) * thickness
    if len(slices) > 1:
        step = (positions[-1] - positions[0]) / (len(slices) - 1)
        ideal = positions[0] + np.arange(len(slices))[:, None] * step
        if np.abs(ideal - positions).max() > SAME_PLACE_MM:
            raise BadInput("a segmentation needs a series of evenly spaced slices", got="a gap or a doubled slice")
    affine = np.eye(4)
    affine[:3] = np.column_stack([step, cosines[3:] * between_rows, cosines[:3] * between_columns, positions[0]])
    return (len(slices), int(first.Rows), int(first.Columns)), LPS_TO_RAS @ affine


def on_grid(mask: Mask, affine: Affine, grid: Grid) -> Mask:
    """The same voxels on another grid: axes turned, flipped, padded and cut, never interpolated.

    Raises BadInput where voxels of the two grids do not coincide, or a lesion lies outside `grid`.
    """
    import nibabel as nib
    from nibabel.orientations import io_orientation, ornt_transform

    shape, target = grid
    turn = ornt_transform(io_orientation(affine), io_orientation(target))
    turned = nib.Nifti1Image(mask, affine).as_reoriented(turn)
    voxels = np.asarray(turned.dataobj)
    start = np.linalg.inv(target) @ turned.affine @ [0, 0, 0, 1]
    offset = np.rint(start[:3]).astype(int)
    ends = np.array([[0, 0, 0, 1], [*(np.array(voxels.shape) - 1), 1]]).T
    moved = ends + np.array([[*offset, 0]]).T
    if np.abs(turned.affine @ ends - target @ moved).max() > SAME_PLACE_MM:
        raise BadInput(
            "the lesion mask and the image are not on the same grid",
            expected=f"voxel centres within {SAME_PLACE_MM} mm",
            hint="Resample the mask onto the image first",
        )
    placed = np.zeros(shape, np.uint8)
    inside = np.argwhere(voxels) + offset
    if (inside < 0).any() or (inside >= np.array(shape)).any():
        raise BadInput("the lesion mask reaches beyond the image", expected=f"lesions inside {shape} voxels")
    placed[tuple(inside.T)] = 1
    return placed


def describe(pixels: Mask, slices: Sequence[Dataset], creator: str, algorithm: str) -> highdicom.seg.Segmentation:
    """The segmentation object: one segment "Lesion" (SNOMED CT 52988006) in the brain (12738006)."""
    import highdicom
    from pydicom.sr.codedict import codes

    logging.getLogger("highdicom").setLevel(logging.WARNING)  # at INFO it prints the UIDs of the patient's images
    identification = highdicom.AlgorithmIdentificationSequence(
        name=algorithm, family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type="AUTOMATIC" if algorithm else "MANUAL",
        algorithm_identification=identification if algorithm else None,
        anatomic_regions=[codes.SCT.Brain],
    )
    seed = [str(slices[0].SeriesInstanceUID), hashlib.sha256(pixels.tobytes()).hexdigest(), algorithm]
    return highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=pixels,
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=uid(*seed, "series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid(*seed, "instance"),
        instance_number=1,
        manufacturer="Konsil",
        manufacturer_model_name="konsil.dicom.seg",
        software_versions=__version__,
        device_serial_number="0",
        content_creator_name=creator or None,
        content_label="LESIONS",
        content_description="White matter lesions, research use only",
        series_description="Lesions on FLAIR",
    )


def make_repeatable(seg: highdicom.seg.Segmentation, first: Dataset, moment: datetime | None) -> None:
    """Replace what highdicom took from the clock and from chance: creation times and the dimension organisation.

    A study without a date and no `moment` leave the clock's time.
    """
    date = f"{moment:%Y%m%d}" if moment else str(first.get("StudyDate", ""))
    time = f"{moment:%H%M%S}" if moment else str(first.get("StudyTime", "")) or "000000"
    if date:
        for kind in ("InstanceCreation", "Content"):
            setattr(seg, f"{kind}Date", date)
            setattr(seg, f"{kind}Time", time)
        for equipment in seg.get("ContributingEquipmentSequence", []):
            equipment.ContributionDateTime = date + time
    dimensions = uid(str(seg.SOPInstanceUID), "dimensions")
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions


def uid(*parts: str) -> str:
    """A DICOM UID that follows from its parts."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=["konsil", *parts]))
