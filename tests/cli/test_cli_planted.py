"""All that a preparation writes outside the inbox is searched, byte by byte, for everything that names a patient.

A small synthetic hospital is disfigured with identifiers wherever a file, a folder, an archive or a header can hold
one, and some of its cases fail on purpose, because refusals speak too. Then every step runs through its command.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.dicom.reading import discreet
from konsil.errors import KonsilError
from konsil.files import read_json, sha256_of

Search = Callable[[Iterable[Path], Iterable[str]], dict[str, list[str]]]
NAME = "Quastenflosse^Wendelgard"
TOKENS = (
    "Quastenflosse",
    "Wendelgard",
    "KX-471108",
    "19611103",
    "Nordtorklinik",
    "SER-990817",
    "ACC-550231",
    "Ottokar",
)
TEXTS = (
    *(
        "InstitutionName",
        "InstitutionAddress",
        "StationName",
        "DeviceSerialNumber",
        "PatientComments",
        "OtherPatientIDs",
    ),
    *(
        "StudyDescription",
        "SeriesDescription",
        "ProtocolName",
        "ImageComments",
        "AdditionalPatientHistory",
        "Occupation",
    ),
    *("DerivationDescription", "PerformedProcedureStepDescription", "RequestedProcedureID", "CountryOfResidence"),
    *("SoftwareVersions", "Manufacturer", "ManufacturerModelName", "PatientTelephoneNumbers", "DeidentificationMethod"),
)
STEPS = ("orient", "mask", "register", "qc", "report")


@dataclass
class Preparation:
    """What lies outside the inbox, what was said, and what may be in neither."""

    home: Path
    planted: set[str]
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)


def disfigure(header: Dataset) -> None:
    """Put identifiers wherever a header can hold one."""
    text = f"{NAME.replace('^', ' ')} KX-471108 Nordtorklinik"
    for keyword in TEXTS:
        setattr(header, keyword, f"{header.get(keyword, '')} {text}".strip()[:64])
    header.DeviceSerialNumber, header.AccessionNumber = "SER-990817", "ACC-550231"
    header.OperatorsName = header.NameOfPhysiciansReadingStudy = header.RequestingPhysician = "Ottokar^Dr"
    header.ImageType = [*list(header.ImageType)[:3], "QUASTENFLOSSE"]
    for keyword in ("BodyPartExamined", "ScanOptions", "SequenceVariant"):
        value = header.get(keyword) or []
        setattr(header, keyword, [*([value] if isinstance(value, str) else value), "WENDELGARD"])
    item = Dataset()
    item.PatientName, item.PatientID, item.RequestedProcedureDescription = NAME, "KX-471108", text
    for keyword in ("RequestAttributesSequence", "OtherPatientIDsSequence", "ReferencedImageSequence"):
        setattr(header, keyword, Sequence([item]))
    for group, creator in ((0x0009, text), (0x0029, "SIEMENS CSA HEADER"), (0x2005, "Philips MR Imaging DD 001")):
        header.private_block(group, creator, create=True).add_new(0x10, "LT", text)
    for tag, vr in ((0x60000022, "LO"), (0x60004000, "LT"), (0x50000040, "LT")):
        header[tag] = DataElement(tag, vr, text)
    header[0x60003000] = DataElement(0x60003000, "OW", text.encode().ljust(200))
    header.DataSetTrailingPadding = text.encode().ljust(200)
    header.PixelData += text.encode().ljust(200)
    for keyword in ("SAR", "ImagingFrequency", "PercentSampling", "EchoNumbers", "NumberOfAverages"):
        tag = Tag(keyword)
        header[tag] = RawDataElement(tag, "DS", 4, b"*** ", 0, False, True)
    header.file_meta.SourceApplicationEntityTitle = "NORDTORKLINIK"
    header.preamble = text.encode().ljust(128, b"\0")


def plant(inbox: Path, doubled: str) -> set[str]:
    """Disfigure every file, rename folders, pack one patient, and add what fails; returns all UIDs of the originals.

    The patient in the folder `doubled` gets a second T1w, so that a person has to choose.
    """
    uids = set()
    double(inbox / doubled)
    with discreet():
        for path in sorted(path for path in inbox.rglob("*") if path.is_file()):
            header = pydicom.dcmread(path)
            uids |= {str(element.value) for element in header if element.VR == "UI"}
            disfigure(header)
            header.save_as(path, enforce_file_format=True)
    patients = sorted(path for path in inbox.iterdir() if path.is_dir())
    with zipfile.ZipFile(inbox / "Quastenflosse KX-471108.zip", "w") as archive:
        for path in sorted(path for path in patients[0].rglob("*") if path.is_file()):
            archive.write(path, f"Quastenflosse/{path.relative_to(patients[0])}")
    shutil.rmtree(patients[0])
    for count, patient in enumerate(patients[1:]):
        patient.rename(inbox / f"Wendelgard Quastenflosse {count}")
    some = next(path for path in sorted(inbox.rglob("*")) if path.is_file() and path.suffix != ".zip")
    capture(some, inbox / "Wendelgard_screen.dcm")
    (inbox / "Quastenflosse.dcm").write_bytes(some.read_bytes()[:900])
    (inbox / "Wendelgard_cut.zip").write_bytes(b"PK\x03\x04 Wendelgard")
    mask = nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4))
    mask.header["descrip"], mask.header["aux_file"] = b"Wendelgard Quastenflosse", b"KX-471108"
    nib.save(mask, inbox / "lesion_Quastenflosse.nii.gz")
    return {uid for uid in uids if not uid.startswith("1.2.840.10008.")}


def double(patient: Path) -> None:
    """Repeat the T1w under other UIDs, with other pixels."""
    (series,) = patient.glob("*/003*")
    for path in sorted(series.iterdir()):
        header = pydicom.dcmread(path)
        pixels = np.frombuffer(header.PixelData, np.uint16)
        header.PixelData = (pixels + (pixels > 0)).astype(np.uint16).tobytes()
        header.SeriesNumber = 7
        header.SeriesInstanceUID, header.SOPInstanceUID = f"{header.SeriesInstanceUID[:50]}.7", generate_uid()
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        (series.parent / "007_again").mkdir(exist_ok=True)
        header.save_as(series.parent / "007_again" / path.name)


def capture(source: Path, target: Path) -> None:
    """A picture of the screen, with who knows what in its pixels."""
    with discreet():
        header = pydicom.dcmread(source)
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        header.SeriesInstanceUID, header.ConversionType, header.BurnedInAnnotation = generate_uid(), "WSD", "YES"
        header.save_as(target)


@pytest.fixture(scope="module")
def preparation(tmp_path_factory: pytest.TempPathFactory, known_pseudonyms: Callable[[Path, str], None]) -> Preparation:
    """Four patients of site A: without FLAIR, with a slice missing, with two T1w, and one that comes through."""
    from konsil.phantom.hospital import write_hospital

    folder = tmp_path_factory.mktemp("planted")
    truth, inbox = folder / "truth.json", folder / "Nordtorklinik" / "Wendelgard"
    faults = {"missing_flair": 1, "missing_slice": 1}
    write_hospital(inbox, site="A", cases=4, seed=11, resolution_mm=4.0, faults=faults, truth=truth)
    patients = json.loads(truth.read_text())["patients"]
    planted = plant(inbox, max(one["folder"] for one in patients if not one["fault"])) | set(TOKENS)
    for patient in patients:
        for value in patient["identifiers"].values():
            planted |= {str(value), *str(value).split("^")}
    done = Preparation(folder / "home", {value for value in planted if len(value) > 4} - {"MR HEAD"})
    known_pseudonyms(done.home, "Nordtorklinik")
    walk(done, inbox)
    return done


def walk(done: Preparation, inbox: Path) -> None:
    """Every step, by its command; what it says on any level is kept."""
    log = io.StringIO()
    handler, root = logging.StreamHandler(log), logging.getLogger()
    root.addHandler(handler)
    before = root.level
    root.setLevel(logging.INFO)
    run(done, log, "scan", inbox, "--cohort", "ms")
    run(done, log, "deidentify", inbox, "ms")
    run(done, log, "convert", done.home / "work" / "ms" / "dicom", "ms")
    for step in STEPS:
        run(done, log, step, "ms", *(("--limits", "wide") if step == "qc" else ()))
    report = done.home / "cohorts" / "ms" / "derivatives" / "konsil" / "reports" / "cohort.html"
    cases = {path.name.removesuffix("_qc.json") for path in done.home.rglob("*_qc.json")}
    signed = {"by": "reviewer", "at": "2024-01-01T10:00:00+00:00", "report_sha256": sha256_of(report)}
    signed["decisions"] = {case: {"decision": "accept", "reason": "a phantom"} for case in cases}
    (done.home / "signed.json").write_text(json.dumps(signed))
    run(done, log, "freeze", "ms", "--sign-off", done.home / "signed.json")
    root.removeHandler(handler)
    root.setLevel(before)


def run(done: Preparation, log: io.StringIO, *arguments: object) -> None:
    """One command with its output, its result file and its log."""
    verb, result = str(arguments[0]), ["--result", str(done.home / f"result-{arguments[0]}.json")]
    ended = CliRunner().invoke(assemble(), [*map(str, arguments), *result], env={"KONSIL_HOME": str(done.home)})
    assert ended.exception is None or isinstance(ended.exception, SystemExit | KonsilError), (verb, ended.exception)
    done.codes[verb] = ended.exit_code
    done.said[verb] = f"{ended.output}{log.getvalue()}{ended.exception}"
    log.seek(0)
    log.truncate()


def test_the_preparation_went_to_its_end_with_cases_done_and_set_aside(preparation: Preparation) -> None:
    assert preparation.codes["scan"] == 2
    assert preparation.codes["convert"] == 2, preparation.said["convert"]
    assert preparation.codes["freeze"] == 0, preparation.said["freeze"]
    frozen = read_json(preparation.home / "cohorts" / "ms" / "cohort.json")
    assert len(frozen["cases"]) == 1
    assert len(frozen["excluded"]) == 3
    assert "A person has to decide" in preparation.said["scan"]


def test_no_planted_identifier_is_in_any_file(preparation: Preparation, planted_in: Search) -> None:
    files = [path for path in preparation.home.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert len(preparation.planted) > 100
    assert planted_in(files, preparation.planted) == {}


def test_no_planted_identifier_is_in_any_name(preparation: Preparation) -> None:
    names = [str(path.relative_to(preparation.home)).lower() for path in preparation.home.rglob("*")]
    assert [(value, name) for name in names for value in preparation.planted if value.lower() in name] == []


def test_no_planted_identifier_is_said(preparation: Preparation) -> None:
    for verb, text in preparation.said.items():
        assert len(text) > 20, verb
        assert [value for value in preparation.planted if value.lower() in text.lower()] == [], verb


def test_the_search_finds_what_is_there(tmp_path: Path, planted_in: Search) -> None:
    import base64
    import gzip
    import sqlite3

    word = "Müllenhoff"
    contents = {
        "utf8.txt": f"x{word}".encode(),
        "latin.txt": word.encode("latin-1"),
        "wide.bin": b"\0" + word.encode("utf-16-le"),
        "upper.txt": b"QUASTENFLOSSE",
        "escaped.json": json.dumps({"a": word}).encode(),
        "packed.gz": gzip.compress(b"Quastenflosse"),
        "page.html": b"<img src='data:image/png;base64," + base64.b64encode(b"....Quastenflosse...") + b"'>",
        "day.txt": b"on 1961-11-03",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        database.execute("create table log (text)")
        database.execute("insert into log values (?)", ("x" * 9000 + "Quastenflosse",))
    database.close()
    found = planted_in(tmp_path.iterdir(), [word, "Quastenflosse", "19611103"])
    assert set(found) == {*contents, "airflow.db"}
