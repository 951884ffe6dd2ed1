"""Phantoms with identifiers planted in every kind of place, and the search for those that survived.

Every kind of place has a word of its own, so a word that is found says where it came from. `made` holds one patient
twice, ten days apart, so that intervals and consistent UIDs can be seen; `broken` holds copies of one file with one
value each that its attribute cannot have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

INTERVAL_DAYS = 10
WORDS = {
    "patient's name": "Quastenflosse",
    "patient's number": "KX471108",
    "birth date": "19611103",
    "other person": "Ottokardius",
    "institution": "Nordtorklinik",
    "device": "SER990817",
    "series description": "Wendelgard",
    "comment": "Holunderpfad",
    "coded field": "ZWETSCHGE",
    "model name": "Klapperstorch",
    "private": "Geheimrat",
    "private, vendor's": "Siemensianer",
    "sequence": "Nachtigall",
    "sequence in private": "Regenpfeifer",
    "code meaning": "Haubentaucher",
    "overlay comment": "Wiedehopf",
    "overlay data": "Steinkauz",
    "curve data": "Rotkehlchen",
    "padding behind the pixels": "Zaunkoenig",
    "behind the pixels, same value": "Goldammer",
    "file meta": "DOMPFAFF",
    "preamble": "Eichelhaeher",
}
BROKEN = {
    "DS ***": ("SAR", b"*** "),
    "DS name": ("ImagingFrequency", b"Quastenflosse "),
    "IS letters": ("EchoTrainLength", b"KX471108"),
    "DA": ("SeriesDate", b"19611103Quastenflosse "),
    "TM": ("SeriesTime", b"Quastenflosse "),
    "US length": ("AcquisitionMatrix", b"Ott"),
    "FD length": ("EffectiveEchoTime", b"Ottokardius "),
    "CS": ("PatientPosition", b"quastenflosse^ "),
    "UI": ("FrameOfReferenceUID", b"Quastenflosse "),
    "alphabet": ("PatientName", b"\xc3\x28\xff\x1b$BQuastenflosse"),
    "unknown alphabet": ("SpecificCharacterSet", b"QUASTENFLOSSE "),
    "age": ("PatientAge", b"59 Jahre"),
    "PN in LO": ("InstitutionName", b"Quastenflosse^Wendelgard=x=y=z"),
}


def disfigure(header: Dataset) -> None:
    """Put the word of each kind where it belongs."""
    w = WORDS
    header.PatientName, header.PatientID, header.PatientBirthDate = (
        w["patient's name"],
        w["patient's number"],
        w["birth date"],
    )
    header.OperatorsName = header.PhysiciansOfRecord = w["other person"]
    header.InstitutionName, header.StationName = w["institution"], w["institution"]
    header.DeviceSerialNumber = w["device"]
    header.SeriesDescription = header.ProtocolName = f"t1 sag {w['series description']}"
    header.ImageComments = header.PatientComments = w["comment"]
    header.ImageType = [*list(header.ImageType)[:3], w["coded field"]]
    header.ManufacturerModelName = f"{header.ManufacturerModelName} {w['model name']}"
    header.private_block(0x0009, "KLINIKUM", create=True).add_new(1, "LT", w["private"])
    header.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", w["private, vendor's"].encode())
    item, inner, meaning = Dataset(), Dataset(), Dataset()
    item.RequestedProcedureDescription = item.ScheduledProcedureStepDescription = w["sequence"]
    inner.PatientComments = w["sequence in private"]
    header.private_block(0x0011, "KLINIKUM", create=True).add_new(1, "SQ", Sequence([inner]))
    meaning.CodeValue, meaning.CodingSchemeDesignator, meaning.CodeMeaning = "121327", "DCM", w["code meaning"]
    header.RequestAttributesSequence, header.AnatomicRegionSequence = Sequence([item]), Sequence([meaning])
    header[0x60004000] = DataElement(0x60004000, "LT", w["overlay comment"])
    header[0x60003000] = DataElement(0x60003000, "OW", w["overlay data"].encode().ljust(64))
    header[0x50003000] = DataElement(0x50003000, "OW", w["curve data"].encode().ljust(64))
    header.DataSetTrailingPadding = w["padding behind the pixels"].encode().ljust(64)
    header.PixelData += w["behind the pixels, same value"].encode().ljust(64)
    header.file_meta.SourceApplicationEntityTitle = w["file meta"]
    header.preamble = w["preamble"].encode().ljust(128, b"\0")


def make(folder: Path) -> None:
    """Write `made/first`, `made/later` and `broken` below `folder`."""
    from konsil.phantom.hospital import write_hospital

    write_hospital(
        folder / "plain", site="A", cases=1, seed=3, resolution_mm=6.0, faults={}, truth=folder / "truth.json"
    )
    files = sorted(path for path in (folder / "plain").rglob("*") if path.is_file())
    for path in files:
        header = pydicom.dcmread(path)
        for visit, days in (("first", 0), ("later", INTERVAL_DAYS)):
            out = folder / "made" / visit / path.parent.name / path.name
            out.parent.mkdir(parents=True, exist_ok=True)
            copy = pydicom.dcmread(path) if days else header
            disfigure(copy)
            if days:
                move(copy, days)
            copy.save_as(out, enforce_file_format=True)
    for number, (keyword, value) in enumerate(BROKEN.values()):
        break_one(pydicom.dcmread(files[0]), keyword, value, folder / "broken" / f"{number:02d}.dcm")


def move(header: Dataset, days: int) -> None:
    """Make a file one of a visit some days later."""
    day = datetime.strptime(header.StudyDate, "%Y%m%d") + timedelta(days=days)  # noqa: DTZ007  # DICOM days have no zone
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(header, keyword, f"{day:%Y%m%d}")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(header, keyword, generate_uid(entropy_srcs=[str(header[keyword].value), "later"]))
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID


def break_one(header: Dataset, keyword: str, value: bytes, path: Path) -> None:
    """Write a file whose attribute holds bytes that it cannot have (implicit VR, so that only bytes are written)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    header.PatientID = WORDS["patient's number"]
    tag = Tag(keyword)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if keyword == "SpecificCharacterSet":
            header.PatientName, header.SpecificCharacterSet = WORDS["patient's name"], value.decode().strip()
        else:
            header[tag] = DataElement(tag, "OB", value.ljust(len(value) + len(value) % 2))
        header.save_as(path, enforce_file_format=True)


def surviving(folder: Path, words: Iterable[str]) -> set[str]:
    """The words that are in any byte of any file."""
    content = b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()).lower()
    return {word for word in words if word.lower().encode() in content}
