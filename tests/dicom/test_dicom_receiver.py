"""What the receiver promises, with real senders: what it acknowledged is on the disk, whoever is killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, CTImageStorage, EnhancedMRImageStorage, MRImageStorage, SegmentationStorage
from pynetdicom import AE, _config
from pynetdicom.sop_class import SecondaryCaptureImageStorage, Verification

from konsil.cohort.folder import SiteFolder
from konsil.dicom.arrivals import ARRIVING
from konsil.dicom.scan import scan

Writer = Callable[..., str]
PEERS = "PACS@127.0.0.0/8,MR 1,ELSEWHERE@10.9.8.7"
START_S = 60
SENDER = """
import os, signal, sys
from pathlib import Path
import pydicom
from pynetdicom import AE, transport
from pynetdicom.sop_class import MRImageStorage
port, folder, die_at = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
sent, send = 0, transport.AssociationSocket.send
def half(self, content):
    global sent
    sent += 1
    if sent == die_at:
        self.socket.sendall(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    send(self, content)
transport.AssociationSocket.send = half
entity = AE("PACS")
entity.add_requested_context(MRImageStorage)
association = entity.associate("127.0.0.1", port, ae_title="KONSIL")
for file in sorted(folder.iterdir()):
    status = association.send_c_store(file)
    if not status or status.Status:
        break
    print(file.name, flush=True)
association.abort()
"""
DYING = """
import os, signal, sys
calls, last, sync = 0, int(sys.argv.pop(1)), os.fsync
def fsync(handle):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = fsync
from konsil.cli.app import main
main()
"""


@dataclass
class Running:
    """A receiver: its process, port, home, and what it has written to stderr so far."""

    process: subprocess.Popen[str]
    port: int
    home: Path
    log: Path

    @property
    def images(self) -> list[Path]:
        return sorted((self.home / "inbox" / "received").glob("*/[0-9a-f]*.dcm"))

    @property
    def leftovers(self) -> list[Path]:
        return list((self.home / "inbox").rglob(".part-*"))

    @property
    def state(self) -> dict[str, object]:
        return json.loads((self.home / "receive.json").read_text())

    def logged(self, words: str) -> str:
        """The log, once it holds the words."""
        for _ in range(200):
            if words in self.log.read_text():
                break
            time.sleep(0.05)
        assert words in self.log.read_text()
        return self.log.read_text()


@contextmanager
def receiving(home: Path, *, program: str | None = None, quota: int | None = None) -> Iterator[Running]:
    """A receiver at a port of its own choice; ended at the end."""

    def limit() -> None:
        if quota is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))

    home.mkdir(exist_ok=True)
    start = ["-m", "konsil.cli"] if program is None else ["-c", DYING, program]
    log = home.parent / f"{home.name}.log"
    environment = os.environ | {"KONSIL_HOME": str(home), "KONSIL_RECEIVE_PEERS": PEERS, "KONSIL_RECEIVE_PORT": "0"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *start, "receive"], stderr=stream, text=True, env=environment, preexec_fn=limit
        )
    try:
        yield Running(process, listening(process, log), home, log)
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def listening(process: subprocess.Popen[str], log: Path) -> int:
    """The port, once the receiver has said it."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if " listens at " in line:
                return int(line.split(":")[1].split(".")[0])
        time.sleep(0.05)
    pytest.fail(f"the receiver did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with receiving(tmp_path_factory.mktemp("receiver") / "home") as running:
        yield running


@pytest.fixture
def images(tmp_path: Path, series: Writer) -> Path:
    series(tmp_path / "out", "T1w", StudyInstanceUID=f"1.2.3.{time.monotonic_ns()}")
    return tmp_path / "out"


def send(port: int, images: list[Dataset], title: str = "PACS", called: str = "KONSIL") -> list[int] | None:
    """The answers to images, -1 where their class was not agreed on; None if the association was refused."""
    entity = AE(title)
    for sop_class in {image.SOPClassUID for image in images} | {Verification}:
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if association.is_rejected:
        return None
    assert association.is_established
    try:
        assert association.send_c_echo().Status == 0
        agreed = {context.abstract_syntax for context in association.accepted_contexts}
        return [association.send_c_store(one).Status if one.SOPClassUID in agreed else -1 for one in images]
    finally:
        association.release()


def read(folder: Path, count: int | None = None) -> list[Dataset]:
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())[:count]]


def test_what_was_acknowledged_is_there_once_and_unchanged(receiver: Running, images: Path) -> None:
    before = set(receiver.images)
    sent = read(images)
    assert send(receiver.port, sent) == [0] * 18
    new = sorted(set(receiver.images) - before)
    assert len(new) == 18
    kept = {file.SOPInstanceUID: file for file in map(pydicom.dcmread, new)}
    for image in sent:
        copy = kept[image.SOPInstanceUID]
        assert copy == image
        assert copy.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
    assert send(receiver.port, sent, title="MR 1") == [0] * 18
    assert set(receiver.images) - before == set(new), "a copy is the same file"


@pytest.mark.realdata
def test_images_are_kept_as_they_are_packed(receiver: Running, data: Path) -> None:
    """One image in nine transfer syntaxes: each comes in its own and takes the place of the former."""
    for file in sorted((data / "dicom" / "nasty_dcm_qa_ts" / "In").iterdir()):
        image = pydicom.dcmread(file)
        entity = AE("PACS")
        entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", receiver.port, ae_title="KONSIL")
        assert association.send_c_store(image).Status == 0
        association.release()
        (kept,) = [one for one in map(pydicom.dcmread, receiver.images) if one.SOPInstanceUID == image.SOPInstanceUID]
        assert kept.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
        assert kept.PixelData == image.PixelData


@pytest.mark.parametrize("sop_class", [EnhancedMRImageStorage, SegmentationStorage])
def test_enhanced_images_and_segmentations_are_kept(receiver: Running, images: Path, sop_class: str) -> None:
    (image,) = read(images, 1)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    assert send(receiver.port, [image]) == [0]


def test_received_images_make_a_case(tmp_path: Path, receiver: Running, series: Writer) -> None:
    for number, kind in ((3, "T1w"), (4, "FLAIR")):
        series(tmp_path / kind, kind, number=number, PatientID="P-receive", StudyInstanceUID="1.2.3.77")
        assert send(receiver.port, read(tmp_path / kind)) == [0] * 18
    (folder,) = {file.parent for file in receiver.images if study_of(file) == "1.2.3.77"}
    early = scan(SiteFolder(tmp_path / "home"), "ms", folder)
    assert early.done == ()
    assert any("still arriving" in sentence for sentence in early.set_aside.values())
    os.utime(folder / ARRIVING, (0, 0))
    outcome = scan(SiteFolder(tmp_path / "home"), "ms", folder)
    assert (len(outcome.done), dict(outcome.set_aside)) == (1, {})


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


@pytest.mark.parametrize(
    ("title", "called", "reason"),
    [
        ("STRANGER", "KONSIL", "its AE title is not among the peers"),
        ("ELSEWHERE", "KONSIL", "it does not come from the address of that peer"),
        ("pacs", "KONSIL", "its AE title is not among the peers"),
        ("PACS", "OTHER", "it asked for another AE title than ours"),
    ],
)
def test_strangers_are_refused(receiver: Running, images: Path, title: str, called: str, reason: str) -> None:
    before = receiver.images
    assert send(receiver.port, read(images, 1), title=title, called=called) is None
    assert f"{title} (127.0.0.1): {reason}" in receiver.logged(reason)
    assert receiver.images == before


def test_a_strangers_title_cannot_write_lines_into_the_log(receiver: Running, images: Path) -> None:
    assert send(receiver.port, read(images, 1), title="A[31m;<B>") is None
    assert "A?31m??B? (127.0.0.1)" in receiver.logged("A?31m")


def test_only_mr_and_segmentations_are_agreed_on(receiver: Running) -> None:
    entity = AE("PACS")
    for sop_class in (MRImageStorage, EnhancedMRImageStorage, SegmentationStorage):
        entity.add_requested_context(sop_class, JPEG2000)
    for sop_class in (CTImageStorage, SecondaryCaptureImageStorage):
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="KONSIL")
    agreed = {context.abstract_syntax for context in association.accepted_contexts}
    association.release()
    assert agreed == {MRImageStorage, EnhancedMRImageStorage, SegmentationStorage}


def test_an_image_that_is_not_what_was_announced_is_answered_so(
    receiver: Running, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless, other = read(images, 2)
    del nameless.StudyInstanceUID
    other.SOPClassUID = EnhancedMRImageStorage
    other.save_as(images / "other")
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # announces what the file's own head says
    entity = AE("PACS")
    entity.add_requested_context(MRImageStorage)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="KONSIL")
    before = receiver.images
    assert association.send_c_store(nameless).Status == 0xC000
    assert association.send_c_store(images / "other").Status == 0xA900
    association.release()
    assert receiver.images == before


def test_neither_log_nor_state_says_whose_images_came(receiver: Running, images: Path, planted: dict[str, str]) -> None:
    send(receiver.port, read(images))
    said = receiver.logged("images kept") + json.dumps(receiver.state)
    said += " ".join(str(path.relative_to(receiver.home)) for path in receiver.home.rglob("*"))
    assert [name for name, value in planted.items() if value in said] == []


def test_the_state_counts(receiver: Running, images: Path) -> None:
    before = receiver.state
    send(receiver.port, read(images, 3))
    for _ in range(200):
        after = receiver.state
        if after["open"] == 0:
            break
        time.sleep(0.05)
    assert after["images"] == before["images"] + 3
    assert after["associations"] == before["associations"] + 1
    assert (after["open"], after["running"], after["format"]) == (0, True, "konsil-receive/1")


def test_a_killed_sender_leaves_whole_images_and_a_living_receiver(receiver: Running, images: Path) -> None:
    before = set(receiver.images)
    ended = subprocess.run(
        [sys.executable, "-c", SENDER, str(receiver.port), str(images), "12"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    acknowledged = ended.stdout.split()
    assert 0 < len(acknowledged) < 18
    kept = [pydicom.dcmread(file) for file in set(receiver.images) - before]
    wanted = {pydicom.dcmread(images / name).SOPInstanceUID for name in acknowledged}
    assert wanted <= {image.SOPInstanceUID for image in kept}
    assert all(image == read_like(images, image) for image in kept)
    assert receiver.leftovers == []
    assert send(receiver.port, read(images)) == [0] * 18


def test_a_sender_that_speaks_no_proper_dicom_is_cut_off(receiver: Running, images: Path) -> None:
    """Its command has a number that no command has."""
    garble = "    content = content.replace(b'\\0\\0\\0\\1\\2\\0\\0\\0\\1\\0', b'\\0\\0\\0\\1\\2\\0\\0\\0ww')"
    program = SENDER.replace("    sent += 1", f"    sent += 1\n{garble}")
    sent = subprocess.run(
        [sys.executable, "-c", program, str(receiver.port), str(images), "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sent.stdout == ""
    assert "Traceback" not in receiver.logged("broken off, since it spoke no proper DICOM")
    assert send(receiver.port, read(images, 1)) == [0]


def test_connections_that_say_nothing_keep_nobody_out(receiver: Running, images: Path) -> None:
    with ExitStack() as open_ones:
        for _ in range(12):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", receiver.port)))
        assert send(receiver.port, read(images, 1)) == [0]


def test_one_sender_too_many_is_asked_to_come_back(receiver: Running, images: Path) -> None:
    entity = AE("PACS")
    entity.add_requested_context(Verification)
    many = [entity.associate("127.0.0.1", receiver.port, ae_title="KONSIL") for _ in range(10)]
    assert all(one.is_established for one in many)
    late = entity.associate("127.0.0.1", receiver.port, ae_title="KONSIL")
    assert (late.is_rejected, late.acceptor.primitive.result) == (True, 2)
    for one in many:
        one.release()
    assert send(receiver.port, read(images, 1)) == [0]


def read_like(folder: Path, image: Dataset) -> Dataset:
    return next(one for one in read(folder) if one.SOPInstanceUID == image.SOPInstanceUID)


def test_a_killed_receiver_has_all_that_it_acknowledged_and_cleans_up(tmp_path: Path, images: Path) -> None:
    """It dies while it flushes an image that is written but has no name yet."""
    home = tmp_path / "home"
    with receiving(home, program=str(1 + 3 * 5 + 1)) as dying:
        sent = subprocess.run(
            [sys.executable, "-c", SENDER, str(dying.port), str(images), "0"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert dying.process.wait(timeout=START_S) == -signal.SIGKILL
        assert len(sent.stdout.split()) == 5
        assert len(dying.leftovers) == 1
        acknowledged = {pydicom.dcmread(images / name).SOPInstanceUID for name in sent.stdout.split()}
        assert acknowledged == {pydicom.dcmread(file).SOPInstanceUID for file in dying.images}
    with receiving(home) as again:
        assert again.leftovers == []
        assert send(again.port, read(images)) == [0] * 18
        assert len(again.images) == 18


def test_a_full_disk_is_answered_so_and_leaves_nothing(tmp_path: Path, images: Path) -> None:
    large, small = read(images, 2)
    large.PixelData = large.PixelData * 40
    large.Rows = large.Rows * 40
    with receiving(tmp_path / "home", quota=16384) as running:
        assert send(running.port, [large, small]) == [0xA700, 0]
        assert [pydicom.dcmread(file).SOPInstanceUID for file in running.images] == [small.SOPInstanceUID]
        assert running.leftovers == []
        assert "the disk is full" in running.logged("1 not taken by the disk")


def test_sigterm_ends_it_cleanly(tmp_path: Path, images: Path) -> None:
    with receiving(tmp_path / "home") as running:
        assert send(running.port, read(images, 2)) == [0, 0]
        running.process.terminate()
        assert running.process.wait(timeout=START_S) == 0
        assert "has ended: 2 images kept" in running.log.read_text()
        assert running.state["running"] is False


def test_a_port_in_use_and_missing_peers_are_sentences(tmp_path: Path, receiver: Running) -> None:
    def said(peers: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "konsil.cli", "receive", "--port", str(receiver.port)],
            capture_output=True, text=True, check=False,
            env=os.environ | {"KONSIL_HOME": str(tmp_path), "KONSIL_RECEIVE_PEERS": peers},
        )  # fmt: skip
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr

    assert "cannot listen at" in said("PACS")
    assert "nobody may send images" in said("")
