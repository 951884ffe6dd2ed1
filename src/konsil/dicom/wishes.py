"""Which studies to fetch, and under what name people hear of them.

Three ways to say it: a list of study UIDs, a list of patients' numbers, or a search by date and description. Lists are
text files with one entry a line; empty lines and lines that begin with `#` are passed over. A message never repeats an
entry: it says `line 3`. Studies that a search found are `study 1`, `study 2` …, ordered by day and UID.

Servers may ignore a filter that they do not know and answer with everything they have. So each answer is checked
against what was asked: a study of another patient, day or description is never fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from konsil.dicom.dicomweb import DAY, DESCRIPTION, MODALITIES, PATIENT, STUDY, Denied, Server, is_uid, text, texts
from konsil.errors import BadInput, KonsilError, Missing, Unavailable
from konsil.types import Json

WILDCARDS = set("*?\\")
LONGEST_NUMBER = 64
MODALITY = "MR"
PATIENCE = 3
"""Failures in a row after which the rest is not tried."""
NOT_TRIED = "It was not tried: the DICOMweb server does not answer any more. Run the same command again later."


@dataclass(frozen=True)
class Wish:
    """A study to fetch: its UID, and the name that messages give it."""

    name: str
    study: str


@dataclass(frozen=True)
class Search:
    """What studies have to fit: days (both included) and a part of the description, without regard to capitals.

    In `description`, `*` stands for anything and `?` for one letter.
    """

    first: date | None = None
    last: date | None = None
    description: str = ""

    @property
    def is_empty(self) -> bool:
        """Everything fits."""
        return not (self.first or self.last or self.description)

    def filters(self) -> Json:
        """The search as QIDO-RS parameters (PS3.18, 8.3.4; ranges of days as in PS3.4, C.2.2.2.5)."""
        filters: Json = {"ModalitiesInStudy": MODALITY}
        if self.first or self.last:
            filters["StudyDate"] = "-".join(day.strftime("%Y%m%d") if day else "" for day in (self.first, self.last))
        if self.description:
            filters["StudyDescription"] = f"*{self.description.strip('*')}*"
        return filters

    def fits(self, study: Json) -> bool:
        """Whether a study that the server found is one that was asked for. What it does not say is believed."""
        day, name, kinds = text(study, DAY).replace("-", ""), text(study, DESCRIPTION), texts(study, MODALITIES)
        if self.first and day and day < self.first.strftime("%Y%m%d"):
            return False
        if self.last and day and day > self.last.strftime("%Y%m%d"):
            return False
        pattern = re.escape(self.description).replace(r"\*", ".*").replace(r"\?", ".")
        if name and not re.search(pattern, name, re.IGNORECASE | re.DOTALL):
            return False
        return not kinds or MODALITY in kinds


@dataclass(frozen=True)
class Wishes:
    """What to fetch, and what cannot be: the name of an entry and a sentence."""

    studies: tuple[Wish, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def listed_studies(file: Path) -> Wishes:
    """The studies of a list of UIDs."""
    studies, refused = [], {}
    for name, entry in entries(file):
        if is_uid(entry):
            studies.append(Wish(name, entry))
        else:
            refused[name] = "This is no study UID; expected digits and dots, at most 64."
    return Wishes(tuple(studies), refused)


def studies_of_patients(server: Server, file: Path, search: Search) -> Wishes:
    """The studies of a list of patients' numbers that fit the search too. Raises `Denied`."""
    studies: list[Wish] = []
    refused: dict[str, str] = {}
    silent = 0
    for name, entry in entries(file):
        if silent >= PATIENCE:
            refused[name] = NOT_TRIED
            continue
        try:
            found = studies_of(server, entry, search)
        except Denied:
            raise
        except KonsilError as error:
            refused[name] = error.sentence
            silent = silent + 1 if isinstance(error, Unavailable) else 0
            continue
        silent = 0
        several = len(found) > 1
        studies += [Wish(f"{name}, study {n}" if several else name, uid) for n, uid in enumerate(found, start=1)]
    return Wishes(tuple(studies), refused)


def studies_of(server: Server, patient: str, search: Search) -> list[str]:
    """The UIDs of one patient's studies, by day; raises `Missing` for none, `BadInput` for a number that is none."""
    if WILDCARDS & set(patient) or len(patient) > LONGEST_NUMBER:
        raise BadInput("this is no patient's number", expected="at most 64 letters and digits, no * ? or backslash")
    found = server.studies({"PatientID": patient, **search.filters()})
    own = [study for study in found if text(study, PATIENT) == patient and search.fits(study)]
    if not own:
        raise Missing("the DICOMweb server has no such MR study of this patient")
    return in_order(own)


def found_studies(server: Server, search: Search) -> Wishes:
    """The studies that a search finds. Raises `Missing` if there is none, and what `Server.studies` raises."""
    found = in_order(study for study in server.studies(search.filters()) if search.fits(study))
    if not found:
        raise Missing("the search found no MR study", hint="Widen the days, or shorten the description")
    return Wishes(tuple(Wish(f"study {number}", uid) for number, uid in enumerate(found, start=1)))


def in_order(studies: Iterable[Json]) -> list[str]:
    """UIDs by day, then by UID."""
    return [uid for _, uid in sorted((text(study, DAY), text(study, STUDY)) for study in studies)]


def entries(file: Path) -> Iterator[tuple[str, str]]:
    """The entries of a list with their names, `line 1` …; raises `Missing` or `BadInput` for an unusable file."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise Missing("the list is not there", expected="a text file with one entry a line") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise BadInput("the list cannot be read", expected="a text file in UTF-8", got=type(error).__name__) from None
    told = [(f"line {number}", line.strip().strip("\"',;").strip()) for number, line in enumerate(lines, start=1)]
    found = [(name, entry) for name, entry in told if entry and not entry.startswith("#")]
    if not found:
        raise BadInput("the list is empty", expected="one entry a line")
    yield from found
