"""One patient's visit as it lies in an inbox: nested folders, a localizer now and then, T1w, FLAIR and the drawing.

<NAME_ID>/<date>_MR_HEAD/001_localizer/                 three slices, one per plane (some visits)
<NAME_ID>/<date>_MR_HEAD/003_<T1w protocol>/
<NAME_ID>/<date>_MR_HEAD/004_<FLAIR protocol>/
<NAME_ID>/<date>_MR_HEAD/900_lesions/SEG….dcm          where there are lesions
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np

from konsil.dicom.seg import read_series, write_seg
from konsil.phantom.header import Protocol, Visit
from konsil.phantom.identity import folder_name, planted
from konsil.phantom.patient import Patient
from konsil.phantom.series import write_series
from konsil.phantom.stack import PLANES, cut
from konsil.phantom.volume import Volume
from konsil.types import Json

LOCALIZER = Protocol(
    1,
    "localizer",
    MappingProxyType(
        {
            "ScanningSequence": "GR",
            "SequenceVariant": "SP\\OSP",
            "RepetitionTime": 8.6,
            "EchoTime": 4,
            "FlipAngle": 20,
        }
    ),
    acquisition="2D",
)
T1W_NUMBER, FLAIR_NUMBER, SEG_NUMBER = 3, 4, 900
COARSE = 3  # a localizer keeps every third voxel


def write_visit(out: Path, visit: Visit, patient: Patient, *, fault: str = "", localizer: bool = False) -> Json:
    """Write a visit into `out` and return the truth about it: identifiers, series, motion, lesions."""
    study = out / folder_name(visit.identity) / f"{visit.identity.StudyDate}_MR_HEAD"
    t1w, flair = protocols(visit)
    series: Json = {}
    if localizer:
        series["localizer"] = write_localizer(series_folder(study, LOCALIZER), visit, patient.flair)
    stack = cut(patient.t1w, visit.profile.plane)
    lost = (len(stack.pixels) // 2,) if fault == "missing_slice" else ()
    series["T1w"] = write_series(series_folder(study, t1w), visit, t1w, stack, leave_out=lost)
    if fault != "missing_flair":
        folder = series_folder(study, flair)
        series["FLAIR"] = write_series(folder, visit, flair, cut(patient.flair, visit.profile.plane))
        if patient.lesions.any():
            write_drawing(study, visit, patient, folder)
    return {
        "folder": folder_name(visit.identity),
        "identifiers": planted(visit.identity, visit.site),
        "scanner": visit.profile.name,
        "series": series,
        "t1w_to_flair": patient.t1w_to_flair.tolist(),
        "lesion_ml": round(patient.lesion_ml, 4),
        "lesion_voxels": int(patient.lesions.sum()),
        "brain_ml": round(float(patient.brain_flair.sum() * np.prod(patient.flair.spacing_mm) / 1000), 2),
    }


def protocols(visit: Visit) -> tuple[Protocol, Protocol]:
    """The T1w and FLAIR protocols of the scanner."""
    t1w, flair = visit.profile.t1w, visit.profile.flair
    return Protocol(T1W_NUMBER, t1w.protocol, t1w.tags), Protocol(FLAIR_NUMBER, flair.protocol, flair.tags)


def series_folder(study: Path, protocol: Protocol) -> Path:
    """The folder of a series, named as exports do."""
    return study / f"{protocol.number:03d}_{protocol.description.replace(' ', '_')}"


def write_localizer(folder: Path, visit: Visit, volume: Volume) -> str:
    """Three coarse slices through the middle of a volume, one per plane, in one series."""
    uid = ""
    for first, plane in enumerate(PLANES, start=1):
        axis = PLANES[plane][0][0]
        coarse = [slice(None, None, COARSE)] * 3
        middle = volume.array.shape[axis] // 2
        coarse[axis] = slice(middle, middle + 1)
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, axis] * middle
        affine[:3, :3] *= COARSE
        uid = write_series(
            folder, visit, LOCALIZER, cut(Volume(volume.array[tuple(coarse)], affine), plane), first=first
        )
    return uid


def write_drawing(study: Path, visit: Visit, patient: Patient, flair_folder: Path) -> None:
    """The lesion mask as DICOM SEG, signed with the (invented) name of who drew it."""
    path = study / f"{SEG_NUMBER}_lesions" / f"SEG{visit.identity.PatientID}.dcm"
    write_seg(patient.lesions, patient.flair.affine, read_series(flair_folder), path, creator=visit.identity.people[1])
