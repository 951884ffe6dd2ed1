"""Enhanced multi-frame MR (PS3.3 A.36): all slices in one file, in any order, facts in functional groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import read_scan, scan

SLICES, SIZE, SPACING_MM = 18, 18, 7.0
ORDER = [(7 * k) % SLICES for k in range(SLICES)]
"""The slice that each frame holds: 7 and 18 have no common factor, so each comes once."""
TIMING = {"T1w": ("GRADIENT", 2300.0, 2.98, 900.0, 9.0), "FLAIR": ("SPIN", 5000.0, 387.0, 1800.0, 120.0)}
AFFINE = np.array([[7.0, 0, 0, 70.5 - 7 * 17], [0, 7, 0, 60.25 - 7 * 17], [0, 0, 7, -80], [0, 0, 0, 1]])
"""Closest canonical (RAS): first voxel at LPS (-70.5, -60.25, -80)."""


def item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def one(**values: object) -> Sequence:
    return Sequence([item(**values)])


def volume(number: int) -> np.ndarray:
    """Different in every voxel: (slices, rows, columns)."""
    return (np.arange(SLICES * SIZE * SIZE) % 3989 + number).astype(np.uint16).reshape(SLICES, SIZE, SIZE)


def write_enhanced(folder: Path, kind: str, number: int, slope: float = 1.0, echoes: int = 1) -> None:
    """One file with all slices; with two echoes every slice comes twice."""
    pulse, tr_ms, te_ms, ti_ms, flip = TIMING[kind]
    uid = generate_uid(entropy_srcs=[str(folder), kind])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = EnhancedMRImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    frames = [(k, echo) for echo in range(echoes) for k in ORDER]
    header = {
        **{"SOPClassUID": EnhancedMRImageStorage, "SOPInstanceUID": uid, "Modality": "MR", "PatientID": "E1"},
        **{"PatientName": "Plantagenet^Wilhelmina", "StudyInstanceUID": "1.2.3.4.5"},
        **{"SeriesInstanceUID": f"1.2.3.5.{number}"},
        **{"StudyDate": "20210506", "SeriesNumber": number, "InstanceNumber": 1, "FrameOfReferenceUID": "1.2.3.4.6"},
        **{"Manufacturer": "Philips", "ImageType": ["ORIGINAL", "PRIMARY", "M", "NONE"], "MRAcquisitionType": "3D"},
        **{"AcquisitionDateTime": "20210506101112", "EchoPulseSequence": pulse, "NumberOfFrames": len(frames)},
        **{"Rows": SIZE, "Columns": SIZE, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"},
        **{"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
    }
    for keyword, value in header.items():
        setattr(image, keyword, value)
    image.SharedFunctionalGroupsSequence = one(
        PixelMeasuresSequence=one(PixelSpacing=[SPACING_MM, SPACING_MM], SliceThickness=SPACING_MM),
        PlaneOrientationSequence=one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        MRTimingAndRelatedParametersSequence=one(RepetitionTime=tr_ms, FlipAngle=flip),
        MRModifierSequence=one(InversionRecovery="YES", InversionTimes=[ti_ms]),
    )
    image.PerFrameFunctionalGroupsSequence = Sequence(
        item(
            FrameContentSequence=one(
                DimensionIndexValues=[1, k + 1, echo + 1], StackID="1", InStackPositionNumber=k + 1
            ),
            PlanePositionSequence=one(ImagePositionPatient=[-70.5, -60.25, -80.0 + k * SPACING_MM]),
            MREchoSequence=one(EffectiveEchoTime=te_ms * (1 + echo)),
            PixelValueTransformationSequence=one(RescaleIntercept=0, RescaleSlope=slope, RescaleType="US"),
        )
        for k, echo in frames
    )
    image.PixelData = b"".join(volume(number)[k].tobytes() for k, _ in frames)
    folder.mkdir(parents=True, exist_ok=True)
    image.save_as(folder / f"{kind}.dcm", enforce_file_format=True)


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    return SiteFolder(tmp_path / "home").cohort("ms")


def prepare(cohort: CohortFolder, inbox: Path) -> None:
    assert scan(cohort.site, "ms", inbox).exit_code == 0
    assert deidentify(cohort.site, "ms").exit_code == 0


@pytest.mark.parametrize("slope", [1.0, 2.5])
def test_every_voxel_of_a_multi_frame_image_keeps_its_value_and_place(
    cohort: CohortFolder, tmp_path: Path, slope: float
) -> None:
    for number, kind in enumerate(TIMING, start=3):
        write_enhanced(tmp_path / "inbox", kind, number, slope)
    prepare(cohort, tmp_path / "inbox")
    assert convert(cohort.site, "ms").exit_code == 0
    (case,) = cohort.cases()
    for number, kind in enumerate(TIMING, start=3):
        image = nib.as_closest_canonical(nib.load(cohort.raw(case, kind)))
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
        expected = volume(number).transpose(2, 1, 0)[::-1, ::-1] * slope
        np.testing.assert_allclose(np.asarray(image.dataobj), expected, rtol=1e-6)


def test_physics_is_read_from_functional_groups(cohort: CohortFolder, tmp_path: Path) -> None:
    for number, kind in enumerate(TIMING, start=3):
        write_enhanced(tmp_path / "inbox", kind, number)
    scan(cohort.site, "ms", tmp_path / "inbox")
    (case,) = read_scan(cohort)["cases"].values()
    assert case["warnings"] == []
    assert "SE IR, TR 5000, TE 387, TI 1800 ms, 3D" in case["series"]["FLAIR"]["why"]


def test_a_multi_frame_image_beside_a_classic_one_is_a_case(
    cohort: CohortFolder, tmp_path: Path, series: Callable[..., str]
) -> None:
    write_enhanced(tmp_path / "inbox", "FLAIR", 4)
    series(tmp_path / "inbox" / "classic", "T1w", number=3, PatientID="E1")
    prepare(cohort, tmp_path / "inbox")
    assert convert(cohort.site, "ms").exit_code == 0


def test_two_echoes_in_one_file_are_refused_in_words(cohort: CohortFolder, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "inbox", "T1w", 3)
    write_enhanced(tmp_path / "inbox", "FLAIR", 4, echoes=2)
    prepare(cohort, tmp_path / "inbox")
    (sentence,) = convert(cohort.site, "ms").set_aside.values()
    assert sentence.startswith(
        "FLAIR: two slices of the series lie at one place; expected one image per place; got several"
    )
