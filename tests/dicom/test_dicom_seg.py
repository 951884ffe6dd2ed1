"""A drawing survives DICOM SEG to the voxel, in any axis order, and bad files are refused in sentences."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest

from konsil.dicom.seg import on_grid, ordered, read_seg, read_series, referenced_series, write_seg
from konsil.errors import BadInput, Missing

SHAPE = (6, 7, 5)  # slices, rows, columns
IN_PLANE_MM, BETWEEN_MM = (1.5, 1.25), 2.0


@pytest.fixture
def source() -> list[pydicom.Dataset]:
    """A small oblique MR series: headers only, slices out of order."""
    tilt = np.deg2rad(10)
    across, down = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), np.sin(tilt)])
    series = []
    for index in (3, 0, 5, 1, 4, 2):
        item = pydicom.Dataset()
        item.SOPClassUID = pydicom.uid.MRImageStorage
        item.SOPInstanceUID = f"1.2.3.4.{index + 1}"
        item.StudyInstanceUID, item.SeriesInstanceUID, item.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.5"
        item.PatientName, item.PatientID, item.PatientBirthDate, item.PatientSex = "A^B", "77", "", "O"
        item.StudyDate, item.StudyTime, item.StudyID = "20220304", "101112", "1"
        item.AccessionNumber, item.ReferringPhysicianName, item.Modality = "", "", "MR"
        item.Rows, item.Columns = SHAPE[1:]
        item.PixelSpacing, item.SliceThickness = list(IN_PLANE_MM), BETWEEN_MM
        item.ImageOrientationPatient = [*across, *(round(x, 8) for x in down)]
        item.ImagePositionPatient = list(np.round([-3, -4, 5] + index * BETWEEN_MM * np.cross(across, down), 6))
        series.append(item)
    return series


@pytest.fixture
def drawing(source: list[pydicom.Dataset]) -> nib.Nifti1Image:
    """A mask on the grid of the series, as an image in RAS+ axis order. Empty frames at both ends and between."""
    from konsil.dicom.seg import series_grid

    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2:4, 1:3] = 1
    mask[4, 6, 4] = 1
    _, affine = series_grid(ordered(source))
    return nib.as_closest_canonical(nib.Nifti1Image(mask, affine))


def voxels(image: nib.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def grid_of(image: nib.Nifti1Image) -> tuple[tuple[int, ...], np.ndarray]:
    return image.shape, image.affine


def test_a_drawing_comes_back_to_the_voxel(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(voxels(drawing), drawing.affine, source, path)
    mask, affine = read_seg(path, grid_of(drawing))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, voxels(drawing))
    assert np.array_equal(affine, drawing.affine)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_the_order_of_the_axes_does_not_matter(
    axes: str, source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(drawing.affine), nib.orientations.axcodes2ornt(tuple(axes))
    )
    turned = drawing.as_reoriented(turn)
    write_seg(voxels(turned), turned.affine, source, tmp_path / "seg.dcm")
    mask, _ = read_seg(tmp_path / "seg.dcm", grid_of(turned))
    assert np.array_equal(mask, voxels(turned))


def test_without_a_grid_the_frames_that_are_there_come_in_place(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    """Empty frames at the ends are not in the file; the others lie where they were drawn."""
    write_seg(voxels(drawing), drawing.affine, source, tmp_path / "seg.dcm")
    mask, affine = read_seg(tmp_path / "seg.dcm")
    assert mask.shape[2] == 4
    assert np.allclose(world(mask, affine), world(voxels(drawing), drawing.affine), atol=1e-4)


def world(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return nib.affines.apply_affine(affine, np.argwhere(mask))


def test_one_frame_is_enough(source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path) -> None:
    mask = np.zeros(drawing.shape, np.uint8)
    mask[2, 3, 4] = 1
    write_seg(mask, drawing.affine, source, tmp_path / "seg.dcm")
    assert np.array_equal(read_seg(tmp_path / "seg.dcm", grid_of(drawing))[0], mask)


def test_the_same_drawing_gives_the_same_bytes(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_seg(voxels(drawing), drawing.affine, source, tmp_path / name)
    other = voxels(drawing).copy()
    other[0, 0, 0] = 1
    write_seg(other, drawing.affine, source, tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    ids = {pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in ("one", "other")}
    assert len(ids) == 2


def test_it_says_what_was_drawn_on_what(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    path = tmp_path / "seg.dcm"
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    write_seg(voxels(drawing), drawing.affine, source, path, algorithm="konsil nnU-Net", moment=moment)
    seg = highdicom.seg.segread(path)
    description = seg.get_segment_description(1)
    assert referenced_series(path) == "1.2.3.4"
    assert description.segmented_property_type.meaning == "Lesion"
    assert description.algorithm_type.value == "AUTOMATIC"
    assert (seg.ContentDate, seg.ContentTime) == ("20240506", "070809")
    assert seg.FrameOfReferenceUID == "1.2.5"
    assert seg.NumberOfFrames == 2  # empty ones are left out


def test_several_segments_are_united(source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path) -> None:
    """Two overlapping segments, as some tools write one per lesion."""
    from pydicom.sr.codedict import codes

    pixels = np.zeros((*SHAPE, 2), np.uint8)
    pixels[1, 2:4, 1:3, 0] = 1
    pixels[1, 3, 2, 1] = pixels[4, 6, 4, 1] = 1
    segments = [
        highdicom.seg.SegmentDescription(n, f"lesion {n}", codes.SCT.Lesion, codes.SCT.Lesion, "MANUAL") for n in (1, 2)
    ]
    seg = highdicom.seg.Segmentation(
        ordered(source), pixels, "BINARY", segments, "1.9", 1, "1.9.1", 1, "maker", "model", "1", "1"
    )
    seg.save_as(tmp_path / "seg.dcm")
    assert np.array_equal(read_seg(tmp_path / "seg.dcm", grid_of(drawing))[0], voxels(drawing))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda mask: mask * 0, "is empty"),
        (lambda mask: mask * 2, "values 0 and 1"),
        (lambda mask: mask[0], "three axes"),
    ],
)
def test_a_mask_that_is_none_is_refused(
    spoil, says: str, source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=says):
        write_seg(spoil(voxels(drawing)), drawing.affine, source, tmp_path / "seg.dcm")
    assert not list(tmp_path.iterdir())


def test_a_mask_beside_the_grid_is_refused(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    aside = drawing.affine.copy()
    aside[0, 3] += 0.4
    with pytest.raises(BadInput, match="not on the same grid"):
        write_seg(voxels(drawing), aside, source, tmp_path / "seg.dcm")


def test_a_mask_of_other_voxels_is_refused(source: list[pydicom.Dataset], drawing: nib.Nifti1Image) -> None:
    coarse = drawing.affine @ np.diag([2, 2, 2, 1])
    with pytest.raises(BadInput, match="not on the same grid"):
        on_grid(np.ones((2, 2, 2), np.uint8), coarse, grid_of(drawing))


def test_a_lesion_outside_the_image_is_refused(drawing: nib.Nifti1Image) -> None:
    outside = drawing.affine.copy()
    outside[:, 3] -= 3 * drawing.affine[:, 0]
    with pytest.raises(BadInput, match="beyond the image"):
        on_grid(np.ones((2, 2, 2), np.uint8), outside, grid_of(drawing))


def test_a_series_with_a_gap_is_refused(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="evenly spaced"):
        write_seg(voxels(drawing), drawing.affine, source[1:], tmp_path / "seg.dcm")


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="not there"):
        read_seg(tmp_path / "seg.dcm")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 a JPEG", b"\0" * 128 + b"DICM"])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "seg.dcm").write_bytes(content)
    with pytest.raises(BadInput, match="segmentation"):
        read_seg(tmp_path / "seg.dcm")


def test_a_truncated_segmentation_is_refused(
    source: list[pydicom.Dataset], drawing: nib.Nifti1Image, tmp_path: Path
) -> None:
    """Wherever the file was cut, the answer is a refusal: never another mask, never a traceback."""
    path = tmp_path / "seg.dcm"
    write_seg(voxels(drawing), drawing.affine, source, path)
    whole = path.read_bytes()
    for length in range(100, len(whole), len(whole) // 12):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput):
            read_seg(path)


def test_an_mr_image_is_no_segmentation(phantom, tmp_path: Path) -> None:
    from konsil.phantom.header import Visit
    from konsil.phantom.identity import invent
    from konsil.phantom.profile import SITES
    from konsil.phantom.visit import write_visit

    visit = Visit(invent(np.random.default_rng(0), 1), SITES["A"], phantom.profile, seed="test")
    write_visit(tmp_path, visit, phantom)
    folder = next(tmp_path.glob("*/*/004_*"))
    with pytest.raises(BadInput, match="not a segmentation"):
        read_seg(next(folder.iterdir()))
    assert len(read_series(folder)) == len(list(folder.iterdir()))
    with pytest.raises(BadInput, match="exactly one"):
        read_series(tmp_path)
