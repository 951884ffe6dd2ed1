"""A DICOM file anew, under a pseudonym.

Nothing is cleaned in place: an empty data set is filled with the attributes that are kept (`keep`), each with a value
that it may have (`values`). The result says what was done to it (PS3.15 E.1.1, PS3.16 CID 7050): basic profile 113100,
descriptors cleaned 113105, dates modified 113107, and 113111 if safe private attributes came along.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from konsil.cohort.cases import Case
from konsil.dicom.burned import refuse_pictures, syntax_of, without_overlays
from konsil.dicom.codes import entry, known
from konsil.dicom.keep import KEPT, PRIVATE_BLOCKS, SAFE_PRIVATE, read_for_a_copy
from konsil.dicom.memory import Memory
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.series import patient_of
from konsil.dicom.values import Rules, cleaned, is_binary

METHOD = "Konsil: known values only, keyed UIDs, shifted dates"
METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
SAFE_PRIVATE_CODE = ("113111", "Retain Safe Private Option")
EMPTY = ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName")
"""Attributes that every image must have and that may be empty (type 2)."""
EMPTY_UNLESS_KEPT = ("StudyDate", "Manufacturer")
PIXELS = "PixelData"
DEEPEST = 8
"""Functional groups of enhanced images nest four deep."""


@dataclass
class Copier:
    """Copies the files of one series; what follows from a value that the file before had as well is not sought again.

    `wanted`: what to read of a file; `memory`: what the last one said; `before`: by patient and attribute, an element
    and what became of it.
    """

    role: str
    case: Case
    pseudonyms: Pseudonyms
    wanted: frozenset[str] = field(default_factory=read_for_a_copy)
    memory: Memory = field(default_factory=Memory)
    before: dict[tuple[str, int], tuple[DataElement, DataElement | None]] = field(default_factory=dict)

    def rebuild(self, original: Dataset) -> Dataset:
        """`rebuild` of one file of the series."""
        patient = patient_of(original)

        def kept(element: DataElement, rules: Rules) -> DataElement | None:
            known = self.before.get((patient, element.tag))
            if known is None or known[0] is not element:
                known = self.before[patient, element.tag] = element, as_kept(element, rules)
            return known[1]

        return rebuild(original, self.role, self.case, self.pseudonyms, kept)


def as_kept(element: DataElement, rules: Rules) -> DataElement | None:
    """The element that takes the place of one that is kept; None if nothing of its value may stay."""
    result = cleaned(element, element.keyword, rules)
    return None if result is None else DataElement(element.tag, *result)


Keep = Callable[[DataElement, Rules], DataElement | None]


def rebuild(original: Dataset, role: str, case: Case, pseudonyms: Pseudonyms, kept: Keep = as_kept) -> Dataset:
    """A new data set with the kept attributes of `original`, under the pseudonym of `case`.

    Raises `BadInput`, by the role of the series, for a picture that may have text in its pixels; `AttributeError` if
    the file has no class, number or pixels.
    """
    refuse_pictures(original, role)
    patient = patient_of(original)
    copy = filtered(original, Rules(pseudonyms.uid, lambda day: pseudonyms.date(patient, day)), kept)
    with_private = add_safe_private(original, copy)
    pixels = original[PIXELS]
    copy.add_new(pixels.tag, pixels.VR, without_overlays(original, role))
    copy[PIXELS].is_undefined_length = pixels.is_undefined_length
    copy.PatientID = copy.PatientName = case.subject
    for keyword in EMPTY:
        setattr(copy, keyword, "")
    for keyword in EMPTY_UNLESS_KEPT:
        setattr(copy, keyword, copy.get(keyword, ""))
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD
    copy.DeidentificationMethodCodeSequence = method_codes(with_private)
    copy.LongitudinalTemporalInformationModified = "MODIFIED"
    copy.file_meta = file_meta(original, copy)
    return copy


@functools.cache
def method_codes(with_private: bool) -> Sequence:
    """What was done, as coded entries that all copies share; with or without safe private attributes."""
    codes = [*METHOD_CODES, SAFE_PRIVATE_CODE] if with_private else METHOD_CODES
    return Sequence([entry("DCM", *code) for code in codes])


def file_meta(original: Dataset, copy: Dataset) -> FileMetaDataset:
    """The group that begins the file: the encoding of the pixels, and nothing of who wrote the original."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax_of(original)
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta


def filtered(original: Dataset, rules: Rules, kept: Keep = as_kept, depth: int = 0) -> Dataset:
    """The kept attributes of a data set and its items, each with a value that may stay. Pixels are left out."""
    copy = Dataset()
    for element in original:
        keyword = element.keyword
        if keyword not in KEPT or keyword == PIXELS:
            continue
        if element.VR == "SQ":
            if depth < DEEPEST:
                copy.add_new(element.tag, "SQ", items_of(element.value, keyword, rules, depth))
            continue
        result = kept(element, rules)
        if result is not None:
            copy[element.tag] = result
    if "SegmentNumber" in copy and "SegmentedPropertyTypeCodeSequence" in copy:
        copy.SegmentLabel = f"Segment {copy.SegmentNumber}"  # required, and the original may hold anything
    return copy


def items_of(items: Sequence, keyword: str, rules: Rules, depth: int) -> Sequence:
    """The items of a sequence, filtered; of codes, those of the standard."""
    if keyword.endswith("CodeSequence"):
        return known(items, keyword)
    return Sequence([filtered(item, rules, depth=depth + 1) for item in items])


def add_safe_private(original: Dataset, copy: Dataset) -> bool:
    """Copy the private attributes that are safe; whether there were any."""
    found = False
    for (creator, group), elements in SAFE_PRIVATE.items():
        for block in PRIVATE_BLOCKS:
            if value_at(original, group, block) != creator:
                continue
            for element, vr in elements.items():
                value = value_at(original, group, block << 8 | element)
                if value is not None and is_binary(value, vr):
                    copy.private_block(group, creator, create=True).add_new(element, vr, float(value))
                    found = True
    return found


def value_at(dataset: Dataset, group: int, element: int) -> Any:
    """The value of an attribute by its tag; None if it is absent."""
    found = dataset.get((group, element))
    return None if found is None else found.value
