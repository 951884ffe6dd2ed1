"""Sorting images into series, and series into patients and days.

An image belongs to a series by its UID and to a patient by the patient's number, never by the folder it lies in:
exports mix patients in one folder and spread one series over several. Where a scanner put several kinds of image under
one UID (magnitude and phase, water and fat), each kind is a series of its own (`numbering`). A case is one patient on
one day (StudyDate).
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom.dataset import Dataset

from konsil.dicom.contrast import SEG, Contrast, classify
from konsil.dicom.geometry import HEAD, Frame, Grid, Limits, Repeated, frames_of, grid_of, reach_mm
from konsil.dicom.headers import Instance
from konsil.dicom.inbox import open_member
from konsil.dicom.numbering import explained, parts, started_s
from konsil.dicom.physics import Physics, number, physics_of
from konsil.dicom.values import LARGEST_ORDINAL
from konsil.errors import BadInput
from konsil.types import Json

ANY_SIZE = Limits(slices=1, smallest_mm=0, largest_mm=float("inf"))
EDGE_BYTES = 4096


@dataclass(frozen=True)
class Series:
    """One series of one patient on one day; instances sorted by number, then path."""

    uid: str
    patient: str
    day: str
    instances: tuple[Instance, ...]

    @property
    def header(self) -> Dataset:
        """The header that stands for the whole series."""
        return self.instances[0].header

    @property
    def files(self) -> list[str]:
        """Paths relative to the inbox."""
        return [instance.path for instance in self.instances]

    @property
    def number(self) -> int:
        """SeriesNumber, 0 if there is none, or if it is too large to count series and may be a day or a patient's."""
        found = int(number(self.header, "SeriesNumber") or 0)
        return found if abs(found) < LARGEST_ORDINAL else 0

    @property
    def label(self) -> str:
        """How people recognise the series without its name: its number and its size."""
        count = len(self.instances)
        return f"series {self.number or 'without a number'} ({count} {'file' if count == 1 else 'files'})"

    @cached_property
    def contrast(self) -> Contrast:
        """What the series shows."""
        return classify(self.header)

    @cached_property
    def physics(self) -> Physics:
        """How the series was made."""
        return physics_of(self.header)

    @cached_property
    def frames(self) -> list[Frame]:
        """The slices in space; none if one of them has no place."""
        try:
            return frames_of(instance.header for instance in self.instances)
        except (BadInput, ValueError, TypeError, AttributeError):
            return []

    @cached_property
    def volume(self) -> Grid | str:
        """The volume that the slices make, of whatever size, or the sentence that says why they make none."""
        try:
            return grid_of(self.frames, ANY_SIZE)
        except Repeated as refusal:
            return explained(refusal, [instance.header for instance in self.instances]).sentence
        except BadInput as refusal:
            return refusal.sentence

    @property
    def grid(self) -> Grid | None:
        """The volume, None if there is none."""
        return None if isinstance(self.volume, str) else self.volume

    @cached_property
    def reach_mm(self) -> tuple[float, float, float]:
        """How far the slices reach along columns, rows and through the stack, gaps included."""
        return reach_mm(self.frames)

    @property
    def covers_a_head(self) -> bool:
        """The slices, whole or not, reach as far as a head in every direction."""
        return min(self.reach_mm) >= HEAD.smallest_mm

    @cached_property
    def started_s(self) -> float | None:
        """Seconds since midnight at which the first of its images was acquired; None if no header says."""
        return min((time for one in self.instances if (time := started_s(one.header)) is not None), default=None)

    @property
    def fault(self) -> str:
        """Why the series is not whole, with counts; empty if it is."""
        broken = [instance for instance in self.instances if instance.fault]
        if not broken:
            return ""
        return f"{len(broken)} of its {len(self.instances)} files are cut short: {broken[0].fault}"

    @property
    def frame_of_reference(self) -> str:
        """UID of the coordinate system that the positions are given in."""
        return str(self.header.get("FrameOfReferenceUID", ""))

    @property
    def drawn_on(self) -> str:
        """UID of the series that a segmentation was drawn on; empty if this is no segmentation or does not say."""
        if self.contrast.name != SEG:
            return ""
        referenced = self.header.get("ReferencedSeriesSequence") or [Dataset()]
        return str(referenced[0].get("SeriesInstanceUID", ""))

    def properties(self) -> Json:
        """The values that the choice was made by, for scan.json."""
        facts = self.physics
        spacing = [round(value, 4) for value in self.grid.spacing_mm] if self.grid else None
        return {
            "sequence": sorted(facts.sequence),
            "variant": sorted(facts.variant),
            "tr_ms": facts.tr_ms,
            "te_ms": facts.te_ms,
            "ti_ms": facts.ti_ms,
            "acquisition": facts.acquisition,
            "slices": self.grid.shape[2] if self.grid else None,
            "spacing_mm": spacing,
            "derived": facts.processed,
        }


def group(instances: Iterable[Instance]) -> list[Series]:
    """Sort images into series, ordered by patient, day and series number."""
    piles: dict[tuple[str, str, str], list[Instance]] = defaultdict(list)
    for instance in instances:
        header = instance.header
        piles[patient_of(header), day_of(header), str(header.SeriesInstanceUID)].append(instance)
    series = [
        Series(uid, patient, day, tuple(sorted(part, key=order)))
        for (patient, day, uid), pile in piles.items()
        for part in parts(pile)
    ]
    return sorted(series, key=lambda one: (one.patient, one.day, one.number, one.uid))


def order(instance: Instance) -> tuple[float, str]:
    """Images of a series go by their number, then by their path."""
    return number(instance.header, "InstanceNumber") or 0, instance.path


def patient_of(header: Dataset) -> str:
    """What tells patients apart: the number; without one, name and birth date; without these, the study."""
    identity = str(header.get("PatientID") or "").strip()
    if identity:
        return identity
    name = str(header.get("PatientName") or "").strip()
    if name:
        return f"{name}|{header.get('PatientBirthDate') or ''}"
    return f"study|{header.get('StudyInstanceUID', '')}"


def day_of(header: Dataset) -> str:
    """The day of the study as YYYYMMDD; the series' or acquisition's day where the study has none; else empty."""
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate"):
        day = str(header.get(name) or "").replace(".", "").strip()
        if day:
            return day[:8]
    return ""


def fingerprint(inbox: Path, files: Iterable[str]) -> str:
    """SHA-256 over names, sizes and first and last 4096 bytes of files: quick, and changes when a series does."""
    digest = hashlib.sha256()
    for name in sorted(files):
        with open_member(inbox, name) as stream:
            start = stream.read(EDGE_BYTES)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - EDGE_BYTES))
            digest.update(os.fsencode(f"{name}\0{size}\0") + start + stream.read())
    return digest.hexdigest()
