"""Reading an inbox: any folders, any file names, only what the headers say.

DICOM files are recognised by their content: the letters DICM after 128 bytes (PS3.10, 7.1), or, for very old files, a
beginning with group 0008. Pixel data is not read; whether it is all there is known from its length. What is no DICOM is
counted, what cannot be read is kept with its reason, and nothing stops the walk. Messages never repeat a file name,
because hospitals put patients' names into them: scan.json holds paths sealed.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
)

from konsil.errors import BadInput, Missing

log = logging.getLogger(__name__)

TAGS = """
SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID StudyDate AcquisitionDate AcquisitionDateTime AcquisitionTime
SeriesDate SeriesTime Modality Manufacturer SeriesDescription ProtocolName SourceImageSequence ReferencedSeriesSequence
DerivationCodeSequence PatientName PatientID PatientBirthDate ContrastBolusAgent ContrastBolusAgentSequence
ContrastBolusVolume ContrastBolusTotalDose ScanningSequence SequenceVariant ScanOptions MRAcquisitionType AngioFlag
SliceThickness SpacingBetweenSlices RepetitionTime EchoTime InversionTime EchoTrainLength FlipAngle AcquisitionMatrix
DiffusionBValue EchoPulseSequence InversionTimes StudyInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber
ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID SamplesPerPixel NumberOfFrames Rows Columns
PixelSpacing BitsAllocated BurnedInAnnotation SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0"
"""The delimiter behind compressed pixels (FFFE,E0DD), PS3.5 A.4; compressed syntaxes are all little endian."""
TAIL_BYTES = 1 << 16
BROKEN = (OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError, BytesLengthException)
"""What pydicom raises for headers that are cut short or scrambled."""
FILES_PER_LINE = 2000
BROKEN_HEADER = "The header of the file is broken or cut short."
VOLUMES = (MRImageStorage, EnhancedMRImageStorage, SegmentationStorage)
MASK_WORDS = ("lesion", "mask", "label")


@dataclass(frozen=True)
class Instance:
    """One DICOM file: its path relative to the inbox, its header, and what is wrong with it (empty if nothing)."""

    path: str
    header: Dataset
    fault: str = ""


@dataclass
class Contents:
    """What lies in an inbox. `unreadable` and `ignored` are keyed by a sentence; `masks` are NIfTI files."""

    instances: list[Instance] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def read_inbox(inbox: Path) -> Contents:
    """Walk `inbox` and read every header. Raises `Missing` or `BadInput` if there is nothing to work with."""
    if not inbox.is_dir():
        raise Missing(
            "the inbox is not there", expected="a folder with DICOM files", hint="Check the path of the inbox"
        )
    contents, seen = Contents(), set[str]()
    files = sorted(path for path in inbox.rglob("*") if path.is_file())
    if not files:
        raise BadInput("the inbox is empty", expected="DICOM files, in any folders", hint="Export the studies into it")
    for count, file in enumerate(files, start=1):
        if count % FILES_PER_LINE == 0:
            log.info("scan: %d of %d files read", count, len(files))
        take(file, file.relative_to(inbox).as_posix(), contents, seen)
    if not contents.instances and not contents.unreadable:
        raise BadInput(
            "the inbox holds no DICOM image",
            expected="DICOM files, in any folders",
            got=f"{len(files)} other files",
            hint="Export the studies as DICOM; pictures such as JPEG carry no geometry",
        )
    return contents


def take(file: Path, name: str, contents: Contents, seen: set[str]) -> None:
    """Put one file where it belongs: image, mask, unreadable or ignored."""
    if file.name.lower().endswith((".nii", ".nii.gz")):
        if any(word in file.name.lower() for word in MASK_WORDS):
            contents.masks.append(name)
        else:
            contents.ignored["NIfTI files that are not named as lesion masks"] += 1
        return
    try:
        header, fault = read_header(file)
    except InvalidDicomError:
        contents.ignored["files that are not DICOM"] += 1
        return
    except BROKEN:
        contents.unreadable.setdefault(BROKEN_HEADER, []).append(name)
        return
    uid = str(header.get("SOPInstanceUID", ""))
    if "Rows" not in header or "SeriesInstanceUID" not in header:
        if header.file_meta.get("MediaStorageSOPClassUID") in (None, *VOLUMES):
            contents.unreadable.setdefault(BROKEN_HEADER, []).append(name)
        else:
            contents.ignored["DICOM files without an image"] += 1
    elif uid in seen:
        contents.ignored["copies of an image that is there already"] += 1
    else:
        seen.add(uid)
        contents.instances.append(Instance(name, header, fault))
        if fault:
            contents.unreadable.setdefault(fault, []).append(name)


def read_header(file: Path) -> tuple[Dataset, str]:
    """The header of one file without its pixels, and its fault (empty if the pixels are all there).

    Raises `InvalidDicomError` if it is no DICOM; whatever pydicom raises if the header itself is broken.
    """
    with file.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are common in real headers; the rules ask for what they need
        start = stream.read(132)
        ancient = start[128:] != b"DICM" and start[:2] == b"\x08\x00"
        stream.seek(0)
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=TAGS.split(), force=ancient)
        return header, missing_pixels(header, stream)


def missing_pixels(header: Dataset, stream: BinaryIO) -> str:
    """Why the pixels after the header are not whole, or an empty string. `stream` stands at the pixel element."""
    syntax = header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if "Rows" not in header or syntax == DeflatedExplicitVRLittleEndian:
        return ""
    begin, end = stream.tell(), stream.seek(0, os.SEEK_END)
    before_value = 8 if syntax.is_implicit_VR else 12  # tag, VR and length of the pixel element (PS3.5, 7.1)
    if end - begin < before_value:
        return "The file ends before its pixels."
    if syntax.is_encapsulated:
        stream.seek(max(begin, end - TAIL_BYTES))
        whole = END_OF_SEQUENCE in stream.read()
    else:
        voxels = math.prod(
            int(header.get(tag) or 1) for tag in ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames")
        )
        whole = end - begin - before_value >= voxels * int(header.get("BitsAllocated") or 16) // 8
    return "" if whole else "The file ends within its pixels."
