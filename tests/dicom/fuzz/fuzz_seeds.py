"""Small whole DICOM files of every kind, before they are spoilt: 12 slices of 20 x 20 voxels of 9 mm."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
    SegmentationStorage,
)

SLICES, SIZE, SPACING_MM = 12, 20, 9.0
NUMBER = "77777"
"""Stands for the number of the patient; `numbered` replaces it."""
PLANTED = {
    "PatientName": f"PLANTAGENET^WILHELMINA{NUMBER}",
    "PatientID": f"KX471199{NUMBER}",
    "PatientBirthDate": "19611103",
    "InstitutionName": "KLINIKUM NORDTOR",
    "OperatorsName": "OTTOKAR^ODENTHAL",
    "AccessionNumber": "ACC0815",
    "StudyDate": "20210506",
}
PHYSICS = {
    "T1w": {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900},
    "FLAIR": {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 5000, "EchoTime": 387, "InversionTime": 1800},
}


@dataclass(frozen=True)
class Study:
    """The files of one patient by name; `numbered` gives the same study to another patient."""

    files: dict[str, bytes]

    def numbered(self, number: int) -> dict[str, bytes]:
        """The files of patient `number`, 0 to 89999."""
        own = str(10000 + number).encode()
        return {name: content.replace(NUMBER.encode(), own) for name, content in self.files.items()}


def voxels(kind: str) -> np.ndarray:
    """Values that differ from voxel to voxel and from series to series, shape (slices, rows, columns)."""
    return (np.arange(SLICES * SIZE * SIZE, dtype=np.uint16) % 1021 + len(kind)).reshape(SLICES, SIZE, SIZE)


def begin(kind: str, name: str, sop_class: str = MRImageStorage) -> FileDataset:
    """Everything that files of all kinds have."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{NUMBER}.{len(kind)}.{name}")
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.SpecificCharacterSet, image.Modality, image.Manufacturer = "ISO_IR 100", "MR", "SIEMENS"
    image.StudyInstanceUID, image.FrameOfReferenceUID = f"1.2.3.{NUMBER}.9", f"1.2.3.{NUMBER}.8"
    image.SeriesInstanceUID = f"1.2.3.{NUMBER}.{len(kind)}"
    image.ImageType, image.MRAcquisitionType = ["ORIGINAL", "PRIMARY", "M"], "3D"
    image.AcquisitionDate, image.AcquisitionTime, image.SeriesDescription = "20210506", "101112", "sag WILHELMINA"
    image.SeriesNumber = len(kind)
    for keyword, value in PLANTED.items():
        setattr(image, keyword, value)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = SIZE
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.private_block(0x0019, "KLINIKUM", create=True).add_new(1, "LO", "PLANTAGENET KX471199")
    return image


def one_slice(kind: str, k: int) -> FileDataset:
    """A classic image."""
    image = begin(kind, str(k))
    for keyword, value in PHYSICS[kind].items():
        setattr(image, keyword, value)
    image.InstanceNumber, image.FlipAngle = k + 1, 9
    image.ImagePositionPatient, image.ImageOrientationPatient = position(k), [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [SPACING_MM, SPACING_MM], SPACING_MM
    image.PixelData = voxels(kind)[k].tobytes()
    return image


def position(k: int) -> list[float]:
    """Where slice `k` lies."""
    return [-90.5, -80.25, -50.0 + k * SPACING_MM]


def item(**values: object) -> Sequence:
    """A sequence with one item."""
    content = Dataset()
    for keyword, value in values.items():
        setattr(content, keyword, value)
    return Sequence([content])


def enhanced(kind: str) -> FileDataset:
    """All slices in one file (PS3.3 A.36)."""
    image = begin(kind, "1", EnhancedMRImageStorage)
    facts = PHYSICS[kind]
    image.EchoPulseSequence = "SPIN" if kind == "FLAIR" else "GRADIENT"
    image.NumberOfFrames, image.InstanceNumber, image.BurnedInAnnotation = SLICES, 1, "NO"
    image.SharedFunctionalGroupsSequence = item(
        PixelMeasuresSequence=item(PixelSpacing=[SPACING_MM, SPACING_MM], SliceThickness=SPACING_MM),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        MRTimingAndRelatedParametersSequence=item(RepetitionTime=facts["RepetitionTime"], FlipAngle=9),
        MREchoSequence=item(EffectiveEchoTime=facts["EchoTime"]),
        MRModifierSequence=item(InversionRecovery="YES", InversionTimes=facts["InversionTime"]),
    )
    image.PerFrameFunctionalGroupsSequence = Sequence(
        item(
            PlanePositionSequence=item(ImagePositionPatient=position(k)),
            FrameContentSequence=item(InStackPositionNumber=k + 1, StackID="1", DimensionIndexValues=[1, k + 1]),
        )[0]
        for k in range(SLICES)
    )
    image.PixelData = voxels(kind).tobytes()
    return image


def segmentation() -> FileDataset:
    """Lesions drawn on the enhanced FLAIR."""
    image = enhanced("FLAIR")
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = SegmentationStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{NUMBER}.66.1"
    image.ReferencedSeriesSequence = item(SeriesInstanceUID=image.SeriesInstanceUID)
    image.SeriesInstanceUID, image.Modality, image.SegmentationType = f"1.2.3.{NUMBER}.66", "SEG", "BINARY"
    image.BitsAllocated = image.BitsStored = 1
    image.HighBit, image.SegmentsOverlap = 0, "NO"
    category = item(CodeValue="49755003", CodingSchemeDesignator="SCT", CodeMeaning="Abnormal structure")
    image.SegmentSequence = item(
        SegmentNumber=1,
        SegmentLabel="Lesion",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=category,
        SegmentedPropertyTypeCodeSequence=category,
    )
    organisation = {"DimensionOrganizationUID": f"1.2.3.{NUMBER}.55"}
    image.DimensionOrganizationSequence = item(**organisation)
    pointers = ((0x0062000B, 0x0062000A), (0x00200032, 0x00209113))
    image.DimensionIndexSequence = Sequence(
        item(**organisation, DimensionIndexPointer=value, FunctionalGroupPointer=group)[0] for value, group in pointers
    )
    for frame in image.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence = item(ReferencedSegmentNumber=1)
    image.PixelData = np.packbits(voxels("FLAIR").ravel() > 1000, bitorder="little").tobytes()
    return image


def encoded(image: FileDataset, syntax: str) -> bytes:
    """The bytes of a file in a transfer syntax; the pixels of JPEG are a picture of 8 bits that any decoder takes."""
    if syntax == RLELossless:
        image.compress(RLELossless, generate_instance_uid=False)
    elif syntax == JPEGBaseline8Bit:
        from PIL import Image

        picture = io.BytesIO()
        Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(picture, "JPEG")
        image.PixelData = encapsulate([picture.getvalue()])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit = 7
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    else:
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
        image.file_meta.TransferSyntaxUID = UID(syntax)
    out, found = io.BytesIO(), image.file_meta.TransferSyntaxUID
    order = {"implicit_vr": found.is_implicit_VR, "little_endian": found.is_little_endian}
    dcmwrite(out, image, force_encoding=True, **order)
    return out.getvalue()


def single_files() -> dict[str, bytes]:
    """One file of every kind."""
    plain = {
        "explicit": ExplicitVRLittleEndian,
        "implicit": ImplicitVRLittleEndian,
        "big": ExplicitVRBigEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
        "rle": RLELossless,
        "jpeg": JPEGBaseline8Bit,
    }
    files = {name: encoded(one_slice("T1w", 3), syntax) for name, syntax in plain.items()}
    files["enhanced"] = encoded(enhanced("FLAIR"), ExplicitVRLittleEndian)
    files["seg"] = encoded(segmentation(), ExplicitVRLittleEndian)
    return files


def enhanced_study() -> Study:
    """T1w, FLAIR and lesions, one file each."""
    files = {kind: encoded(enhanced(kind), ExplicitVRLittleEndian) for kind in PHYSICS}
    return Study(files | {"SEG": encoded(segmentation(), ExplicitVRLittleEndian)})


def classic_study() -> Study:
    """T1w and FLAIR, one file for each slice; the FLAIR is RLE-compressed."""
    syntax = {"T1w": ExplicitVRLittleEndian, "FLAIR": RLELossless}
    return Study(
        {f"{kind}{k:02}": encoded(one_slice(kind, k), syntax[kind]) for kind in PHYSICS for k in range(SLICES)}
    )
