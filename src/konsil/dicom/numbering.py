"""What the numbers in the headers of a series say about its images: is it one volume or several, and is it all there?

A series may hold several images of one place. If their kind differs (value 3 and following of the image type: magnitude
and phase, water and fat), each kind is a volume of its own. Anything else (echoes, inversions, points in time) is one
measurement in several volumes, and no single T1w or FLAIR: it is refused with the attribute that differs.

Slices that are missing at an end leave no gap in space. Then only the numbering can tell, and scanners number freely,
so it gives a warning and no refusal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pydicom.dataset import Dataset

from konsil.dicom.geometry import Repeated, macros
from konsil.dicom.headers import Instance
from konsil.dicom.physics import first_number, number, words

SECONDS_OF_A_DAY = 24 * 3600 + 1
"""With a leap second."""
VARIES = {
    ("EchoTime", "EffectiveEchoTime"): "several echo times",
    ("InversionTime", "InversionTimes"): "several inversion times",
    ("FlipAngle",): "several flip angles",
    ("DiffusionBValue",): "several diffusion weightings",
    ("TemporalPositionIdentifier", "TemporalPositionIndex"): "several points in time",
    ("AcquisitionNumber", "FrameAcquisitionNumber"): "several acquisitions",
}
"""Attributes (classic, enhanced) that tell the volumes of one series apart; the first that differs is named."""


def parts(pile: Sequence[Instance]) -> list[list[Instance]]:
    """Split the images under one UID by their kind if several kinds lie at the same places; else keep them together."""
    kinds: dict[tuple[str, ...], list[Instance]] = defaultdict(list)
    places: set[str] = set()
    for instance in pile:
        kinds[words(instance.header, "ImageType")[2:]].append(instance)
        places.add(str(instance.header.get("ImagePositionPatient")))
    if len(kinds) == 1 or len(places) == len(pile):
        return [list(pile)]
    return [kinds[kind] for kind in sorted(kinds)]


def explained(refusal: Repeated, headers: Sequence[Dataset]) -> Repeated:
    """The refusal with what differs between images of one place, as far as the headers say it."""
    for keywords, meaning in VARIES.items():
        if len({value for header in headers for value in values_of(header, keywords)}) > 1:
            return Repeated(refusal.what, expected=refusal.expected, got=meaning, hint="Export a single volume")
    return refusal


def values_of(header: Dataset, keywords: Sequence[str]) -> set[float]:
    """The values of an attribute, under one of its names: of the image, and of each frame of an enhanced one."""
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [header, *(macro for frame in frames for macro in macros(frame))]
    return {value for group in groups for name in keywords if (value := first_number(group, name)) is not None}


def doubts_about_count(headers: Sequence[Dataset]) -> list[str]:
    """Sentences about images that may be missing at an end of the stack, by the numbers in single-frame headers."""
    if len(headers) < 2:
        return []
    doubts = []
    announced = {int(value) for header in headers if (value := number(header, "ImagesInAcquisition"))}
    if len(announced) == 1 and len(headers) < max(announced):
        doubts.append(f"Its headers speak of {max(announced)} images, {len(headers)} are there.")
    numbers = [int(value) for header in headers if (value := number(header, "InstanceNumber")) is not None]
    first, last = min(numbers, default=1), max(numbers, default=len(headers))
    if len(set(numbers)) == len(headers) and (first > 1 or last > len(headers)):
        doubts.append(f"Its {len(headers)} images are numbered from {first} to {last}.")
    return doubts


def started_s(header: Dataset) -> float | None:
    """Seconds since midnight at which an image was acquired (AcquisitionTime, else AcquisitionDateTime), or None."""
    clock = str(header.get("AcquisitionTime") or "") or str(header.get("AcquisitionDateTime") or "")[8:]
    clock = clock.replace(":", "").strip()
    if len(clock) < 4 or not clock[:4].isdigit():
        return None
    try:
        time = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:].split("+")[0].split("-")[0] or 0)
    except ValueError:
        return None
    return time if 0 <= time < SECONDS_OF_A_DAY else None
