"""Reading an inbox: any folders, any archives, any file names, only what the headers say.

DICOM files are recognised by their content: the letters DICM after 128 bytes (PS3.10, 7.1), or, for very old files, a
beginning with group 0008. Pixel data is not read; whether it is all there is known from its length. What is no DICOM is
counted, what cannot be read is kept with its reason, and nothing stops the walk. Messages never repeat a file name,
because hospitals put patients' names into them: scan.json holds paths sealed.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
)

from konsil.dicom.archive import DAMAGED, is_archive
from konsil.dicom.directory import count_absent, is_directory, referenced, tidy
from konsil.dicom.inbox import FORBIDDEN, INSIDE, OUTWARD, PREAMBLE_BYTES, Listing, list_inbox, open_member
from konsil.dicom.memory import Memory
from konsil.dicom.reading import BROKEN, parse
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
PixelSpacing BitsAllocated BurnedInAnnotation ConversionType PhotometricInterpretation SharedFunctionalGroupsSequence
PerFrameFunctionalGroupsSequence AcquisitionContrast AcquisitionNumber TemporalPositionIdentifier ImagesInAcquisition
FrameType
"""
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0"
"""The delimiter behind compressed pixels (FFFE,E0DD), PS3.5 A.4; compressed syntaxes are all little endian."""
TAIL_BYTES = 1 << 16
FILES_PER_LINE = 2000
BROKEN_HEADER = "The header of the file is broken or cut short."
DAMAGED_ENTRY = "The file in the archive is damaged: it is not what was packed."
NESTED = "An archive within an archive is not read; unpack the outer one into the inbox."
TABLES = "DICOMDIR files (tables of contents)"
ABSENT = "files that a DICOMDIR names and that are not in the inbox"
VOLUMES = (MRImageStorage, EnhancedMRImageStorage, SegmentationStorage)
MASK_WORDS = ("lesion", "mask", "label")


@dataclass(frozen=True)
class Instance:
    """One DICOM file: its name in the inbox, its header, and what is wrong with it (empty if nothing)."""

    path: str
    header: Dataset
    fault: str = ""


@dataclass
class Contents:
    """What lies in an inbox, by name. `unreadable` and `ignored` are keyed by a sentence; `masks` are NIfTI files."""

    instances: list[Instance] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def read_inbox(inbox: Path, links: Sequence[Path] = ()) -> Contents:
    """Walk `inbox` and read every header. Raises `Missing` or `BadInput` if there is nothing to work with.

    `links`: folders into which links may lead besides the inbox itself.
    """
    if not inbox.is_dir():
        raise Missing(
            "the inbox is not there", expected="a folder with DICOM files", hint="Check the path of the inbox"
        )
    listing = list_inbox(inbox, links)
    contents, seen = Contents(unreadable=listing.unreadable, ignored=listing.ignored), set[str]()
    memory = Memory()
    if not listing.names and not listing.unreadable:
        if listing.ignored[OUTWARD]:
            raise BadInput(
                "the inbox holds nothing but links that lead out of it", expected="DICOM files, in any folders",
                hint="Name the folders that they may lead to in KONSIL_INBOX_LINKS",
            )  # fmt: skip
        raise BadInput("the inbox is empty", expected="DICOM files, in any folders", hint="Export the studies into it")
    for count, name in enumerate(listing.names, start=1):
        if count % FILES_PER_LINE == 0:
            log.info("scan: %d of %d files read", count, len(listing.names))
        take(inbox, name, contents, seen, memory)
    look_for_absent(inbox, listing, contents)
    if not contents.instances and not contents.unreadable:
        raise BadInput(
            "the inbox holds no DICOM image",
            expected="DICOM files, in any folders",
            got=f"{len(listing.names)} other files",
            hint="Export the studies as DICOM; pictures such as JPEG carry no geometry",
        )
    return contents


def take(inbox: Path, name: str, contents: Contents, seen: set[str], memory: Memory) -> None:
    """Put one file where it belongs: image, mask, table of contents, unreadable or ignored."""
    own_name = PurePosixPath(name).name.lower()
    if own_name.endswith((".nii", ".nii.gz")):
        if any(word in own_name for word in MASK_WORDS):
            contents.masks.append(name)
        else:
            contents.ignored["NIfTI files that are not named as lesion masks"] += 1
        return
    try:
        header, fault = read_header(inbox, name, memory)
    except InvalidDicomError:
        contents.ignored["files that are not DICOM"] += 1
    except FileNotFoundError:
        contents.ignored["files that went away while they were read"] += 1
    except BadInput as refusal:
        contents.unreadable.setdefault(refusal.sentence, []).append(name)
    except BROKEN as error:
        contents.unreadable.setdefault(reason_of(error, name), []).append(name)
    else:
        sort_in(Instance(name, header, fault), contents, seen)


def reason_of(error: Exception, name: str) -> str:
    """The sentence for a file that raised one of `BROKEN`."""
    if isinstance(error, PermissionError):
        return FORBIDDEN
    return DAMAGED_ENTRY if INSIDE in name and isinstance(error, DAMAGED) else BROKEN_HEADER


def sort_in(instance: Instance, contents: Contents, seen: set[str]) -> None:
    """Keep an image, once; count what is none."""
    header = instance.header
    uid = str(header.get("SOPInstanceUID", ""))
    if is_directory(header):
        contents.directories.append(instance.path)
        contents.ignored[TABLES] += 1
    elif "Rows" not in header or "SeriesInstanceUID" not in header:
        if header.file_meta.get("MediaStorageSOPClassUID") in (None, *VOLUMES):
            contents.unreadable.setdefault(BROKEN_HEADER, []).append(instance.path)
        else:
            contents.ignored["DICOM files without an image"] += 1
    elif uid in seen:
        contents.ignored["copies of an image that is there already"] += 1
    else:
        seen.add(uid)
        contents.instances.append(instance)
        if instance.fault:
            contents.unreadable.setdefault(instance.fault, []).append(instance.path)


def look_for_absent(inbox: Path, listing: Listing, contents: Contents) -> None:
    """Count the files that DICOMDIRs name and that are not in the inbox."""
    there = {tidy(name) for name in listing.names if contents.directories}
    for name in contents.directories:
        try:
            with open_member(inbox, name) as stream:
                absent = count_absent(name, referenced(stream), there)
        except (InvalidDicomError, *BROKEN):
            contents.unreadable.setdefault(BROKEN_HEADER, []).append(name)
            continue
        if absent:
            log.warning("scan: a DICOMDIR names %d files that are not in the inbox", absent)
            contents.ignored[ABSENT] += absent


def read_header(inbox: Path, name: str, memory: Memory) -> tuple[Dataset, str]:
    """The header of one file of the inbox without its pixels, and its fault (empty if the pixels are all there).

    Raises `InvalidDicomError` if it is no DICOM, `BadInput` if it is an archive within an archive, and one of `BROKEN`
    if the header itself is broken.
    """
    with open_member(inbox, name) as stream:
        start = stream.read(PREAMBLE_BYTES)
        if name.lower().endswith(".zip") and is_archive(start) and start[128:] != b"DICM":
            raise BadInput(NESTED)
        return header_of(stream, memory)


def header_of(stream: BinaryIO, memory: Memory | None = None) -> tuple[Dataset, str]:
    """The header and the fault of the DICOM file in a seekable stream."""
    header = parse(stream, TAGS.split(), memory=memory)
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
