"""Small DICOM series made by hand: 18 slices of 18 x 18 voxels of 7 mm, so that they reach as far as a head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SLICES, SIZE, SPACING_MM = 18, 18, 7.0
T1W = {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9}
FLAIR = {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 5000, "EchoTime": 387, "InversionTime": 1800}
T2W = {"ScanningSequence": "SE", "RepetitionTime": 4000, "EchoTime": 92}
KINDS = {"T1w": T1W, "FLAIR": FLAIR, "T2w": T2W}
IDENTITY = {
    "PatientName": "Plantagenet^Wilhelmina",
    "PatientID": "KX-4711-99",
    "PatientBirthDate": "19611103",
    "PatientAddress": "Holunderweg 7",
    "AccessionNumber": "ACC0815",
    "InstitutionName": "Klinikum Nordtor",
    "OperatorsName": "Operator^Otto",
    "ReferringPhysicianName": "Arzt^Anna",
    "StudyDescription": "MS of Wilhelmina",
    "ImageComments": "call Wilhelmina at home",
    "DeviceSerialNumber": "SER-123456",
}


def pixels(number: int) -> np.ndarray:
    """Values that differ from voxel to voxel, slice and series, so that no flip goes unseen."""
    volume = np.arange(SLICES * SIZE * SIZE, dtype=np.uint16).reshape(SLICES, SIZE, SIZE)
    return volume % 4079 + number


def head(water: float) -> np.ndarray:
    """A ball of tissue (signal 400) with a chamber of water in its middle, in air, as (slices, rows, columns)."""
    z, y, x = (np.indices((SLICES, SIZE, SIZE)) - (SLICES - 1) / 2) * SPACING_MM
    distance = np.sqrt(z**2 + y**2 + x**2)
    return np.where(distance < 58, np.where(distance < 13, 400 * water, 400), 5).astype(np.uint16)


def write_series(
    folder: Path,
    kind: str = "T1w",
    *,
    number: int = 3,
    skip: tuple[int, ...] = (),
    water: float | None = None,
    **tags: object,
) -> str:
    """Write one series with planted identifiers; `tags` override. Returns its SeriesInstanceUID.

    With `water` it shows a head whose water is that much brighter than tissue.
    """
    volume = pixels(number) if water is None else head(water)
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        **IDENTITY,
        "PatientSex": "F",
        "StudyID": "17",
        "StudyTime": "100000",
        "SpecificCharacterSet": "ISO_IR 100",
        "PositionReferenceIndicator": "",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "Manufacturer": "SIEMENS",
        "MRAcquisitionType": "3D",
        "StudyDate": "20210506",
        "AcquisitionDate": "20210506",
        "AcquisitionTime": "101112.000000",
        "StudyInstanceUID": "1.2.3.4.5",
        "FrameOfReferenceUID": "1.2.3.4.6",
        "SeriesInstanceUID": generate_uid(entropy_srcs=[str(folder), kind, str(number)]),
        "SeriesDescription": "sag Wilhelmina",
        **KINDS[kind],
        **tags,
    }
    for k in range(SLICES):
        if k not in skip:
            one_slice(values, number, k, volume[k]).save_as(folder / f"IMG{SLICES - k:03d}", enforce_file_format=True)
    return str(values["SeriesInstanceUID"])


def one_slice(values: dict[str, object], number: int, k: int, plane: np.ndarray) -> FileDataset:
    """One axial slice of a series."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(values["SeriesInstanceUID"]), str(k)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    for keyword, value in values.items():
        if value is not None:
            setattr(image, keyword, value)
    image.SeriesNumber, image.InstanceNumber = number, k + 1
    image.ImagePositionPatient = [-70.5, -60.25, -80.0 + k * SPACING_MM]
    image.setdefault("ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
    image.PixelSpacing, image.SliceThickness = [SPACING_MM, SPACING_MM], SPACING_MM
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = SIZE
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = plane.tobytes()
    image.private_block(0x0019, "KLINIKUM", create=True).add_new(1, "LO", "Plantagenet KX-4711-99")
    return image


@pytest.fixture
def series() -> Callable[..., str]:
    """`series(folder, "T1w" | "FLAIR" | "T2w", number=, skip=, water=, **tags)`."""
    return write_series


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """One patient with T1w and FLAIR, both slices in one folder without extensions."""
    folder = tmp_path / "inbox"
    write_series(folder / "Plantagenet_W" / "a", "T1w", number=3)
    write_series(folder / "Plantagenet_W" / "b", "FLAIR", number=4)
    return folder


@pytest.fixture
def planted() -> dict[str, str]:
    """What may not be found outside the inbox."""
    return {**IDENTITY, "StudyDate": "20210506", "UID": "1.2.3.4.5", "Frame": "1.2.3.4.6", "given": "Wilhelmina"}
