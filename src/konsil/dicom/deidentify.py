"""The second step: copies of the chosen series that name nobody.

Every file is rebuilt from the list in `keep`, never cleaned in place: what is not on the list does not come along.
UIDs are replaced consistently, dates shifted, the patient's number becomes the pseudonym (`pseudonyms`). Pixel values
stay as they are, so pictures with text burned in are refused. Faces are not removed: the copies stay at the site.
The result says so itself: PatientIdentityRemoved, and the codes of PS3.16 CID 7050.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.contrast import SECONDARY_CAPTURE
from konsil.dicom.keep import DATES, KEPT, PUBLIC_CODES
from konsil.dicom.masks import voxels, write_mask
from konsil.dicom.physics import words
from konsil.dicom.proposed import each_proposed
from konsil.dicom.pseudonyms import Pseudonyms, open_pseudonyms
from konsil.dicom.reading import BROKEN, discreet, read_dicom
from konsil.dicom.scan import MASK, read_scan
from konsil.dicom.series import fingerprint, patient_of
from konsil.errors import BadInput, Missing
from konsil.files import is_full, read_json, write_json
from konsil.types import Json, Outcome

STEP = "deidentify"
METHOD = "Konsil: kept attributes only, keyed UIDs, shifted dates"
METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
SOURCES = "sources.json"
WHOSE = frozenset({"PatientID", "PatientName", "PatientBirthDate"})
"""Read to know whose pseudonym belongs to a file; they do not come along."""


def deidentify(
    site: SiteFolder,
    cohort: str,
    cases: Sequence[str] | None = None,
    inbox: Path | None = None,
    workers: int = 1,
) -> Outcome:
    """Write de-identified copies of the chosen series to `work/<cohort>/dicom/<case>/<T1w|FLAIR|SEG|MASK>`.

    `cases` is one batch (None = all that scan proposed); `inbox` replaces the folder noted in scan.json if it moved.
    A case whose series are unchanged since the last time is skipped. A case that cannot be copied is set aside with a
    sentence; the others go on.
    """
    folder = site.cohort(cohort)
    found = read_scan(folder)
    source = inbox or Path(found["inbox"])
    work = partial(copy_case, proposals=found["cases"], inbox=source, pseudonyms=open_pseudonyms(site))
    return each_proposed(folder, found, cases, STEP, work, workers=workers)


def copy_case(folder: CohortFolder, case: Case, *, proposals: Json, inbox: Path, pseudonyms: Pseudonyms) -> None:
    """Copy all series of one case into a new folder, then let it take the place of the old one."""
    series = proposals[str(case)]["series"]
    target = folder.work / "dicom" / str(case)
    sources = {role: entry["sha256"] for role, entry in series.items()}
    if (target / SOURCES).is_file() and read_json(target / SOURCES) == sources:
        return
    part = target.with_name(f".part-{case}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for role, entry in series.items():
            check_unchanged(inbox, role, entry)
            copy_series(inbox, role, entry, part / role, case, pseudonyms)
        write_json(part / SOURCES, sources)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy_series(inbox: Path, role: str, entry: Json, target: Path, case: Case, pseudonyms: Pseudonyms) -> None:
    """Copy one series, or the mask that somebody drew, into the new folder `target`."""
    target.mkdir(parents=True)
    if role == MASK:
        write_mask(*voxels(inbox / entry["files"][0]), target / "lesions.nii.gz")
        return
    for count, name in enumerate(entry["files"], start=1):
        copy_file(inbox / name, target / f"{count:04d}.dcm", role, case, pseudonyms)


def check_unchanged(inbox: Path, role: str, entry: Json) -> None:
    """Refuse a series whose files are gone or other than when they were scanned."""
    if not all((inbox / name).is_file() for name in entry["files"]):
        raise Missing(f"files of the {role} are no longer in the inbox", hint="Restore them, or scan again")
    if fingerprint(inbox, entry["files"]) != entry["sha256"]:
        raise BadInput(f"the {role} has changed since the inbox was scanned", hint="Scan again")


def copy_file(source: Path, target: Path, role: str, case: Case, pseudonyms: Pseudonyms) -> None:
    """Rebuild one file; raises `BadInput` by the role of the series, never by the name of the file."""
    try:
        copy = rebuild(read_dicom(source, KEPT | WHOSE, pixels=True), role, case, pseudonyms)
        with discreet():
            copy.save_as(target, enforce_file_format=True)
    except (*BROKEN, InvalidDicomError) as error:
        if is_full(error):
            raise
        raise BadInput(
            f"a file of the {role} cannot be copied", expected="a whole DICOM file", got=type(error).__name__
        ) from error


def rebuild(original: Dataset, role: str, case: Case, pseudonyms: Pseudonyms) -> Dataset:
    """A new data set with the kept attributes of `original`, under the pseudonym."""
    if words(original, "BurnedInAnnotation") == ("YES",) or str(original.SOPClassUID).startswith(SECONDARY_CAPTURE):
        raise BadInput(
            f"the {role} may have text burned into its pixels",
            expected="images as the scanner made them",
            hint="Export the original series",
        )
    patient = patient_of(original)
    copy = filtered(original, lambda day: pseudonyms.date(patient, day), pseudonyms.uid)
    copy.PatientID = copy.PatientName = case.subject
    copy.PatientBirthDate = copy.PatientSex = copy.StudyTime = copy.AccessionNumber = ""
    copy.StudyID = copy.ReferringPhysicianName = ""
    copy.StudyDate = copy.get("StudyDate", "")
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD
    copy.DeidentificationMethodCodeSequence = DicomSequence([code(*entry) for entry in METHOD_CODES])
    copy.LongitudinalTemporalInformationModified = "MODIFIED"
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = original.file_meta.TransferSyntaxUID
    copy.file_meta.MediaStorageSOPClassUID = copy.SOPClassUID
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    copy.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return copy


def filtered(original: Dataset, shift: Callable[[str], str], replace: Callable[[str], str]) -> Dataset:
    """The kept attributes of a data set and its items; dates shifted, UIDs replaced, private codes left out."""
    copy = Dataset()
    for element in original:
        if element.keyword not in KEPT:
            continue
        if element.VR == "SQ":
            items = [filtered(item, shift, replace) for item in element.value if not is_private_code(item)]
            copy.add_new(element.tag, "SQ", DicomSequence(items))
        elif element.keyword in DATES:
            copy.add_new(element.tag, element.VR, shift(str(element.value)))
        elif element.VR == "UI":
            copy.add_new(element.tag, "UI", replaced(element.value, replace))
        else:
            copy[element.tag] = element
    if "SegmentNumber" in copy and "SegmentSequence" not in copy:
        copy.SegmentLabel = f"Segment {copy.SegmentNumber}"  # required, and the original may hold anything
    return copy


def replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """One UID or several, each replaced."""
    if value is None or isinstance(value, str):
        return replace(str(value or ""))
    return [replace(str(one)) for one in value]


def is_private_code(item: Dataset) -> bool:
    """The item is a code of a scheme that is not public."""
    return "CodeValue" in item and item.get("CodingSchemeDesignator") not in PUBLIC_CODES


def code(value: str, meaning: str) -> Dataset:
    """A coded entry of the DICOM controlled terminology."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
