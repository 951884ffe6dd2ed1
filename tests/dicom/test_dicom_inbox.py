"""What an inbox may hold besides plain files: archives, tables of contents, links, pipes, and worse."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from konsil.cohort.folder import SiteFolder
from konsil.dicom import archive
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.headers import ABSENT, TABLES, read_inbox
from konsil.dicom.inbox import OUTWARD, has_member, list_inbox, open_member
from konsil.dicom.scan import scan
from konsil.dicom.series import fingerprint
from konsil.errors import BadInput

Writer = Callable[..., str]
AFFINE = np.array([[-7.0, 0, 0, 70.5], [0, -7, 0, 60.25], [0, 0, 7, -80], [0, 0, 0, 1]])


@pytest.fixture
def site(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "home")


def pack(folder: Path, target: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Everything of a folder in a zip archive; the folder vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", compression) as packed:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, file.relative_to(folder).as_posix())
    shutil.rmtree(folder)
    return target


def voxels_of(site: SiteFolder) -> dict[str, bytes]:
    images = site.cohort("ms").path.rglob("anat/*.nii.gz")
    return {path.name.rpartition("_")[2]: np.asarray(nib.load(path).dataobj).tobytes() for path in images}


def prepare(site: SiteFolder, inbox: Path) -> list[int]:
    return [step.exit_code for step in (scan(site, "ms", inbox), deidentify(site, "ms"), convert(site, "ms"))]


def test_a_zip_becomes_the_same_images_as_its_files(tmp_path: Path, inbox: Path) -> None:
    plain, packed = SiteFolder(tmp_path / "plain"), SiteFolder(tmp_path / "packed")
    assert prepare(plain, inbox) == [0, 0, 0]
    pack(inbox / "Plantagenet_W", inbox / "deep" / "EXPORT")
    assert prepare(packed, inbox) == [0, 0, 0]
    assert len(voxels_of(plain)) == 2
    assert voxels_of(plain) == voxels_of(packed)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_of_other_compressions_are_read(inbox: Path, compression: int) -> None:
    pack(inbox / "Plantagenet_W", inbox / "a.zip", compression)
    assert len(read_inbox(inbox).instances) == 36


def test_a_series_may_lie_partly_in_an_archive(site: SiteFolder, inbox: Path) -> None:
    (inbox / "half").mkdir()
    for file in sorted((inbox / "Plantagenet_W" / "a").iterdir())[:9]:
        shutil.move(file, inbox / "half" / file.name)
    pack(inbox / "half", inbox / "half.zip")
    assert scan(site, "ms", inbox).exit_code == 0
    assert deidentify(site, "ms").exit_code == 0


def test_a_mask_in_an_archive_belongs_to_its_flair(site: SiteFolder, inbox: Path) -> None:
    mask = np.zeros((18, 18, 18), np.uint8)
    mask[5, 7, 11] = 1
    image = nib.Nifti1Image(mask, AFFINE)
    (inbox / "drawn").mkdir()
    (inbox / "drawn" / "lesions.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
    pack(inbox / "drawn", inbox / "drawn.zip")
    assert prepare(site, inbox) == [0, 0, 0]
    (drawn,) = site.cohort("ms").path.rglob("*label-L_mask.nii.gz")
    assert np.asarray(nib.load(drawn).dataobj).sum() == 1


def test_an_archive_that_changed_since_the_scan_sets_the_case_aside(site: SiteFolder, inbox: Path) -> None:
    archived = pack(inbox / "Plantagenet_W", inbox / "a.zip")
    scan(site, "ms", inbox)
    archived.write_bytes(archived.read_bytes()[:-200])
    outcome = deidentify(site, "ms")
    assert outcome.exit_code == 1
    assert "no longer in the inbox" in next(iter(outcome.set_aside.values()))


def refusals(inbox: Path) -> dict[str, int]:
    return {sentence: len(names) for sentence, names in list_inbox(inbox).unreadable.items()}


def test_an_archive_that_is_cut_short_is_a_sentence_and_the_rest_goes_on(site: SiteFolder, inbox: Path) -> None:
    shutil.copytree(inbox / "Plantagenet_W", inbox / "copy")
    cut = pack(inbox / "copy", inbox / "a.zip")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    outcome = scan(site, "ms", inbox)
    assert len(outcome.done) == 1
    assert any("broken or cut short" in sentence for sentence in outcome.set_aside.values())


def test_a_damaged_file_in_an_archive_is_a_sentence_and_the_others_are_read(inbox: Path) -> None:
    packed = pack(inbox / "Plantagenet_W", inbox / "a.zip", zipfile.ZIP_STORED)
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 0xFF
    packed.write_bytes(bytes(content))
    contents = read_inbox(inbox)
    assert len(contents.instances) == 35
    assert {sentence: len(names) for sentence, names in contents.unreadable.items()} == {
        "The file in the archive is damaged: it is not what was packed.": 1
    }


def test_an_encrypted_archive_is_a_sentence(inbox: Path) -> None:
    packed = pack(inbox / "Plantagenet_W", inbox / "a.zip")
    content = packed.read_bytes()
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):  # the flags in both headers of each entry
        at = content.find(signature)
        while at >= 0:
            content = content[: at + offset] + b"\x01" + content[at + offset + 1 :]
            at = content.find(signature, at + 1)
    packed.write_bytes(content)
    assert refusals(inbox) == {archive.ENCRYPTED: 36}


def test_an_archive_in_an_archive_is_a_sentence(inbox: Path) -> None:
    shutil.copytree(inbox / "Plantagenet_W", inbox / "outer" / "x")
    pack(inbox / "outer" / "x", inbox / "outer" / "inner.zip")
    pack(inbox / "outer", inbox / "outer.zip")
    contents = read_inbox(inbox)
    assert len(contents.instances) == 36
    assert [sentence[:35] for sentence in contents.unreadable] == ["An archive within an archive is not"]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(inbox: Path) -> None:
    with zipfile.ZipFile(inbox / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(1 << 20))
    content = bytearray((inbox / "bomb.zip").read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)  # the size that the table gives
    (inbox / "bomb.zip").write_bytes(bytes(content))
    assert refusals(inbox) == {archive.BOMB: 1}


def test_an_entry_that_gives_a_wrong_size_is_not_unpacked_further(inbox: Path) -> None:
    with zipfile.ZipFile(inbox / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("IM1", bytes(128) + b"DICM" + bytes(1 << 22))
    content = bytearray((inbox / "a.zip").read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 500)
    (inbox / "a.zip").write_bytes(bytes(content))
    assert any("damaged" in sentence for sentence in read_inbox(inbox).unreadable)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_damage_to_an_archive_is_more_than_a_sentence(tmp_path: Path, series: Writer, compression: int) -> None:
    """Three of four changed bytes are in the table, where lengths, places, flags and names are."""
    series(tmp_path / "images", "T1w", skip=tuple(range(15)))
    whole = pack(tmp_path / "images", tmp_path / "whole.zip", compression).read_bytes()
    inbox, table = tmp_path / "inbox", whole.find(b"PK\x01\x02")
    inbox.mkdir()
    for seed in range(60):
        chance, content = random.Random(seed), bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(table if chance.random() < 0.75 else 0, len(content))
            content[at] = chance.choice([0, 255, chance.randrange(256)])
        (inbox / "a.zip").write_bytes(bytes(content[: chance.randrange(len(content)) if seed % 5 == 0 else None]))
        with suppress(BadInput):
            fingerprint(inbox, [one.path for one in read_inbox(inbox).instances])


@pytest.mark.parametrize("name", ["../../out", "/etc/out", "a/../../out", "..\\out"])
def test_names_that_lead_out_of_an_archive_are_a_sentence(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(name, b"x")
        packed.writestr("honest", b"y")
    assert list_inbox(tmp_path).names == ["a.zip!/honest"]
    assert refusals(tmp_path) == {archive.ASTRAY: 1}


def test_an_unknown_compression_is_a_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("IM1", b"x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 10 : at + 12] = struct.pack("<H", 9)  # Deflate64, as Windows makes it above 2 GB
    (tmp_path / "a.zip").write_bytes(bytes(content))
    assert refusals(tmp_path) == {archive.COMPRESSION: 1}


def test_a_folder_whose_name_looks_like_an_archive_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "new!" / "deep").mkdir(parents=True)
    (tmp_path / "new!" / "deep" / "IM1").write_bytes(b"here")
    with open_member(tmp_path, "new!/deep/IM1") as stream:
        assert stream.read() == b"here"
    assert has_member(tmp_path, "new!/deep/IM1")
    assert not has_member(tmp_path, "new!/deep/IM2")


def test_an_archive_below_a_folder_with_an_exclamation_mark(tmp_path: Path) -> None:
    (tmp_path / "new!").mkdir()
    with zipfile.ZipFile(tmp_path / "new!" / "a.zip", "w") as packed:
        packed.writestr("b!/IM1", b"here")
    assert list_inbox(tmp_path).names == ["new!/a.zip!/b!/IM1"]
    with open_member(tmp_path, "new!/a.zip!/b!/IM1") as stream:
        assert stream.read() == b"here"
        assert stream.seek(1) == 1


def test_a_large_file_in_an_archive_is_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "IN_MEMORY_BYTES", 4)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("IM1", bytes(range(100)))
    with open_member(tmp_path, "a.zip!/IM1") as stream:
        assert stream.seek(0, os.SEEK_END) == 100
        assert stream.seek(90) == 90
        assert stream.read() == bytes(range(90, 100))


def write_dicomdir(path: Path, named: list[list[str]]) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MediaStorageDirectoryStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    table = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    records = []
    for parts in [None, *named]:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE" if parts else "PATIENT"
        if parts:
            record.ReferencedFileID = parts
        else:
            record.PatientName = "Plantagenet^Wilhelmina"
        records.append(record)
    table.DirectoryRecordSequence = records
    table.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("packed", [False, True])
def test_a_dicomdir_is_no_broken_file_and_tells_what_is_missing(inbox: Path, packed: bool) -> None:
    there = [["A", f"IMG{number:03d}"] for number in range(1, 19)]
    write_dicomdir(inbox / "Plantagenet_W" / "DICOMDIR", [*there, ["A", "GONE1"], ["C", "GONE2"]])
    if packed:
        pack(inbox / "Plantagenet_W", inbox / "a.zip")
    contents = read_inbox(inbox)
    assert contents.unreadable == {}
    assert len(contents.instances) == 36
    assert (contents.ignored[TABLES], contents.ignored[ABSENT]) == (1, 2)


def test_a_whole_dicomdir_warns_of_nothing(site: SiteFolder, inbox: Path) -> None:
    write_dicomdir(inbox / "Plantagenet_W" / "DICOMDIR", [["B", f"IMG{number:03d}"] for number in range(1, 19)])
    assert scan(site, "ms", inbox).exit_code == 0
    assert ABSENT not in read_inbox(inbox).ignored


def test_links_that_turn_in_a_circle_end(inbox: Path) -> None:
    (inbox / "Plantagenet_W" / "up").symlink_to(inbox, target_is_directory=True)
    (inbox / "self").symlink_to(inbox / "self")
    (inbox / "nowhere").symlink_to(inbox / "gone")
    contents = read_inbox(inbox)
    assert len(contents.instances) == 36
    assert contents.ignored == {"links to folders that are read already": 1, "links that lead nowhere": 2}


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path, inbox: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "archive").symlink_to(inbox, target_is_directory=True)
    assert len(read_inbox(tmp_path / "empty", [inbox.parent]).instances) == 36


@pytest.mark.parametrize("named", [(), ("other",)])
def test_a_link_that_leads_out_of_the_inbox_is_followed_only_where_that_was_named(
    tmp_path: Path, inbox: Path, named: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    folder, file = tmp_path / "empty" / "archive", tmp_path / "empty" / "IM1"
    folder.symlink_to(inbox, target_is_directory=True)
    file.symlink_to(next(path for path in inbox.rglob("*") if path.is_file()))
    links = [tmp_path / name for name in named]
    assert list_inbox(tmp_path / "empty", links).ignored == {OUTWARD: 2}
    with pytest.raises(BadInput, match=r"nothing but links that lead out of it.*KONSIL_INBOX_LINKS"):
        read_inbox(tmp_path / "empty", links)
    assert len(list_inbox(tmp_path / "empty", [inbox]).names) == 37


def test_pipes_and_sockets_do_not_hang(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(inbox / "IM1")
    monkeypatch.chdir(inbox)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("IM2")
        assert read_inbox(inbox).ignored == {"pipes, sockets and devices": 2}


def test_what_may_not_be_read_is_a_sentence(inbox: Path) -> None:
    """As another user than root, for whom nothing is forbidden."""
    (inbox / "secret").mkdir(mode=0)
    (inbox / "Plantagenet_W" / "a" / "IMG001").chmod(0)
    for folder in (inbox, *inbox.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys, json; from pathlib import Path; from konsil.dicom.inbox import list_inbox\n"
        "os.getuid() or os.setuid(65534)\n"
        "print(json.dumps({what: len(names) for what, names in list_inbox(Path(sys.argv[1])).unreadable.items()}))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(inbox)], capture_output=True, text=True, check=False)
    (inbox / "secret").chmod(0o700)
    assert run.stdout.strip() == (
        '{"A folder may not be opened by this user.": 1, "A file may not be read by this user.": 1}'
    ), run.stderr


def test_names_in_other_encodings_survive(site: SiteFolder, inbox: Path) -> None:
    (inbox / "Plantagenet_W").rename(inbox / os.fsdecode(b"M\xfcller"))
    assert prepare(site, inbox) == [0, 0, 0]


def test_files_that_are_being_written_and_other_archives_are_counted(inbox: Path) -> None:
    (inbox / ".part-abc.dcm").write_bytes(b"half")
    (inbox / "old.7z").write_bytes(b"7z\xbc\xaf")
    ignored = read_inbox(inbox).ignored
    assert ignored["files that are still being written"] == 1
    assert ignored["archives other than zip; unpack them into the inbox"] == 1


def test_a_dicom_file_whose_preamble_looks_like_a_zip_is_a_dicom_file(inbox: Path) -> None:
    file = inbox / "Plantagenet_W" / "a" / "IMG001"
    file.write_bytes(b"PK\x03\x04" + file.read_bytes()[4:])
    assert len(read_inbox(inbox).instances) == 36
    assert pydicom.dcmread(file).Modality == "MR"
