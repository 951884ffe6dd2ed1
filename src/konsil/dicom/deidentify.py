"""The second step: copies of the chosen series that name nobody.

Every file is rebuilt from a list of what may stay (`rebuild`), never cleaned in place: what is not on the list does not
come along. UIDs are replaced consistently, dates shifted, the patient's number becomes the pseudonym (`pseudonyms`).
Pixel values stay as they are, so pictures that may have text in them are refused (`burned`). Faces are not removed: the
copies stay at the site. docs/deidentification.md says what was measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydicom.errors import InvalidDicomError

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.dicom.inbox import has_member, open_member
from konsil.dicom.masks import voxels, write_mask
from konsil.dicom.proposed import each_proposed
from konsil.dicom.pseudonyms import Pseudonyms, open_pseudonyms
from konsil.dicom.reading import BROKEN, discreet, parse
from konsil.dicom.rebuild import Copier
from konsil.dicom.scan import MASK, read_scan
from konsil.dicom.series import fingerprint
from konsil.errors import BadInput, Missing
from konsil.files import is_full, read_json, sweep, working_folder, write_json
from konsil.types import Json, Outcome

STEP = "deidentify"
SOURCES = "sources.json"
RULES = "rules"
EDITION = "2"
"""Of what may stay (`keep`, `values`, `vocabulary`); with another one, copies that were made before are made again."""


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
    outcome = each_proposed(folder, found, cases, STEP, work, workers=workers)
    sweep(folder.work / "dicom", folders=True)
    return outcome


def copy_case(folder: CohortFolder, case: Case, *, proposals: Json, inbox: Path, pseudonyms: Pseudonyms) -> None:
    """Copy all series of one case into a new folder, then let it take the place of the old one."""
    series = proposals[str(case)]["series"]
    target = folder.work / "dicom" / str(case)
    sources = {role: entry["sha256"] for role, entry in series.items()} | {RULES: EDITION}
    if is_copied(target, sources):
        return
    with working_folder(target.parent) as (part, _):
        for role, entry in series.items():
            check_unchanged(inbox, role, entry)
            copy_series(inbox, role, entry, part / str(case) / role, case, pseudonyms)
        write_json(part / str(case) / SOURCES, sources)
        shutil.rmtree(target, ignore_errors=True)
        (part / str(case)).rename(target)


def is_copied(target: Path, sources: Json) -> bool:
    """The copies are there and were made from these series, under the rules of today."""
    try:
        return read_json(target / SOURCES) == sources
    except (Missing, BadInput):
        return False


def copy_series(inbox: Path, role: str, entry: Json, target: Path, case: Case, pseudonyms: Pseudonyms) -> None:
    """Copy one series, or the mask that somebody drew, into the new folder `target`."""
    target.mkdir(parents=True)
    if role == MASK:
        write_mask(*voxels(inbox, entry["files"][0]), target / "lesions.nii.gz")
        return
    copier = Copier(role, case, pseudonyms)
    for count, name in enumerate(entry["files"], start=1):
        copy_file(inbox, name, target / f"{count:04d}.dcm", copier)


def check_unchanged(inbox: Path, role: str, entry: Json) -> None:
    """Refuse a series whose files are gone or other than when they were scanned."""
    if not all(has_member(inbox, name) for name in entry["files"]):
        raise Missing(f"files of the {role} are no longer in the inbox", hint="Restore them, or scan again")
    try:
        unchanged = fingerprint(inbox, entry["files"]) == entry["sha256"]
    except BROKEN as error:
        raise BadInput(f"files of the {role} cannot be read any more", got=type(error).__name__) from error
    if not unchanged:
        raise BadInput(f"the {role} has changed since the inbox was scanned", hint="Scan again")


def copy_file(inbox: Path, name: str, target: Path, copier: Copier) -> None:
    """Rebuild one file; raises `BadInput` by the role of the series, never by the name of the file."""
    try:
        with open_member(inbox, name) as stream, discreet():
            copy = copier.rebuild(parse(stream, copier.wanted, pixels=True, memory=copier.memory))
            copy.save_as(target, enforce_file_format=True)
    except (*BROKEN, InvalidDicomError) as error:
        if is_full(error):
            raise
        raise BadInput(
            f"a file of the {copier.role} cannot be copied", expected="a whole DICOM file", got=type(error).__name__
        ) from error
