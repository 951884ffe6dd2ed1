"""What a scanner writes beside the pixels, module by module of the MR image object (PS3.3 A.4.3), as keyword -> value.

The patient's invented identifiers go where real files hold them: the usual attributes, a comment typed at the
console, and a private attribute of the hospital's information system. Nothing depends on the clock: UIDs follow from
the hospital's seed, dates from the invented identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from konsil.phantom.identity import Identity, age_years, comment
from konsil.phantom.profile import Profile, Site, Tags
from konsil.phantom.stack import Stack

Header = dict[str, Any]


@dataclass(frozen=True)
class Visit:
    """One patient's visit to the scanner: who, where, on which machine; `seed` is the root of all its UIDs."""

    identity: Identity
    site: Site
    profile: Profile
    seed: str

    def uid(self, *parts: str | int) -> str:
        """A UID that follows from the visit and the given parts."""
        return str(generate_uid(entropy_srcs=["konsil-phantom", self.seed, *map(str, parts)]))

    def time_of(self, series: int) -> str:
        """DICOM time at which a series began; the visit began between 8 and 16 o'clock."""
        hour = 8 + int(self.identity.PatientID) % 9
        return f"{hour:02d}{(7 * series) % 60:02d}11.000000"


@dataclass(frozen=True)
class Protocol:
    """What a series is: its number in the study, its name and timing, and how it was sampled."""

    number: int
    description: str
    tags: Tags
    acquisition: str = "3D"  # or 2D


def series_header(visit: Visit, protocol: Protocol, stack: Stack) -> Header:
    """Everything that the slices of one series have in common."""
    return patient(visit) | study(visit) | equipment(visit) | series(visit, protocol) | pixels(stack)


def patient(visit: Visit) -> Header:
    """Patient module, and what hangs on the patient."""
    who = visit.identity
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": who.PatientName,
        "PatientID": who.PatientID,
        "PatientBirthDate": who.PatientBirthDate,
        "PatientSex": who.PatientSex,
        "PatientAge": f"{age_years(who):03d}Y",
        "PatientAddress": who.PatientAddress,
        "ImageComments": comment(who),
    }


def study(visit: Visit) -> Header:
    """General study module."""
    who = visit.identity
    return {
        "StudyInstanceUID": visit.uid("study"),
        "FrameOfReferenceUID": visit.uid("frame"),
        "PositionReferenceIndicator": "",
        "StudyDate": who.StudyDate,
        "StudyTime": visit.time_of(0),
        "StudyID": "1",
        "StudyDescription": "MR HEAD",
        "AccessionNumber": who.AccessionNumber,
        "ReferringPhysicianName": who.people[0],
        "OperatorsName": who.people[1],
    }


def equipment(visit: Visit) -> Header:
    """General equipment module."""
    return dict(visit.profile.tags) | {
        "InstitutionName": visit.site.institution,
        "StationName": visit.profile.name.upper()[:16],
    }


def series(visit: Visit, protocol: Protocol) -> Header:
    """General series and MR image modules."""
    header: Header = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "BodyPartExamined": "HEAD",
        "PatientPosition": "HFS",
    }
    for kind in ("Series", "Acquisition", "Content"):
        header |= {f"{kind}Date": visit.identity.StudyDate, f"{kind}Time": visit.time_of(protocol.number)}
    return header | {
        "SeriesInstanceUID": visit.uid("series", protocol.number),
        "SeriesNumber": protocol.number,
        "AcquisitionNumber": 1,
        "SeriesDescription": protocol.description,
        "ProtocolName": protocol.description,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "MRAcquisitionType": protocol.acquisition,
        "ScanOptions": "",
        **{key: split(value) for key, value in protocol.tags.items()},
    }


def split(value: str | float) -> str | float | list[str]:
    """Several values of one attribute, written with backslashes in the profile."""
    return value.split("\\") if isinstance(value, str) and "\\" in value else value


def pixels(stack: Stack) -> Header:
    """Image plane and image pixel modules, as far as all slices agree."""
    between_slices, between_rows, between_columns = (decimal(x) for x in stack.spacing_mm)
    brightest = int(stack.pixels.max())
    return {
        "SliceThickness": between_slices,
        "SpacingBetweenSlices": between_slices,
        "PixelSpacing": [between_rows, between_columns],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stack.pixels.shape[1],
        "Columns": stack.pixels.shape[2],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": decimal(brightest / 3),
        "WindowWidth": decimal(brightest / 1.5),
        "ImageOrientationPatient": [decimal(x) for x in stack.cosines],
    }


def slice_headers(visit: Visit, protocol: Protocol, stack: Stack, first: int = 1) -> Iterator[Header]:
    """What changes from slice to slice; instances are numbered from `first`."""
    cosines = np.array(stack.cosines)
    normal = np.cross(cosines[:3], cosines[3:])
    for index in range(len(stack.pixels)):
        position = stack.position(index)
        yield {
            "SOPInstanceUID": visit.uid("instance", protocol.number, first + index),
            "InstanceNumber": first + index,
            "ImagePositionPatient": [decimal(x) for x in position],
            "SliceLocation": decimal(float(np.dot(normal, position))),
        }


def decimal(value: float) -> str:
    """A number as a DICOM decimal string: at most 16 characters, minus zero written as zero."""
    return str(format_number_as_ds(round(float(value), 9) + 0.0))
