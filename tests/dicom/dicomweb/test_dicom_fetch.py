"""What fetch promises: whole studies or a sentence, and never the same image twice."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from konsil.cohort.folder import SiteFolder
from konsil.dicom.arrivals import Arrivals
from konsil.dicom.dicomweb import Access, Denied, Server
from konsil.dicom.fetch import fetch
from konsil.dicom.headers import read_inbox
from konsil.dicom.scan import scan
from konsil.dicom.wishes import NOT_TRIED, Wish
from konsil.types import Outcome

Writer = Callable[..., str]


def connect(pacs: Any, **access: object) -> Server:
    return Server(Access(pacs.url, timeout_s=5, pause_s=0, **access))


def get(pacs: Any, inbox: Path, *studies: str) -> Outcome:
    wishes = [Wish(f"line {number}", study) for number, study in enumerate(studies, start=1)]
    with Arrivals(inbox) as arrivals:
        return fetch(connect(pacs), wishes, arrivals)


def kept(inbox: Path) -> list[Path]:
    assert not list(inbox.rglob(".part-*"))
    return sorted(inbox.rglob("*.dcm"))


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file).StudyInstanceUID)


def test_a_study_comes_whole_and_unchanged_and_makes_a_case(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3")
    assert get(pacs, tmp_path / "inbox", "1.2.3").exit_code == 0
    originals = {image.SOPInstanceUID: image for image, _ in pacs.images}
    copies = [pydicom.dcmread(file) for file in kept(tmp_path / "inbox")]
    assert len(copies) == 36
    assert all(copy == originals[copy.SOPInstanceUID] for copy in copies)
    assert scan(SiteFolder(tmp_path / "home"), "ms", tmp_path / "inbox").exit_code == 0


def test_what_is_there_is_not_fetched_again(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3")
    get(pacs, tmp_path, "1.2.3")
    pacs.asked.clear()
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert {path.rpartition("/")[2] for path in pacs.asked} == {"series", "instances"}


def test_other_modalities_are_left_out(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", Modality="CT")
    outcome = get(pacs, tmp_path, "1.2.3")
    assert "has no MR series of this study" in outcome.set_aside["line 1"]


@pytest.mark.parametrize("fault", ["cut", "fade"])
def test_a_stream_that_breaks_off_is_completed_image_by_image(
    pacs: Any, fill: Writer, tmp_path: Path, fault: str
) -> None:
    fill("1.2.3")
    pacs.faults[f"once:{fault}"] = "/series/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert len(kept(tmp_path)) == 36
    alone = [path for path in pacs.asked if "/instances/" in path]
    assert 5 < len(alone) < 15, "what came before the cut is not asked for again"


def test_a_server_that_always_breaks_off_fails_this_study_and_a_later_run_continues(
    pacs: Any, fill: Writer, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    fill("1.2.3", patient="P1")
    fill("1.2.4", patient="P2")
    pacs.faults["cut"] = "/studies/1.2.3/series/"
    outcome = get(pacs, inbox, "1.2.3", "1.2.4")
    assert outcome.done == ("line 2",)
    assert "of 18 images of a series did not come" in outcome.set_aside["line 1"]
    assert 36 < len(kept(inbox)) < 72
    assert len(read_inbox(inbox).instances) == 36, "a study that is not whole is not used"
    assert [sentence[:28] for sentence in read_inbox(inbox).unreadable] == ["A study was not fetched whol"]
    pacs.faults.clear()
    assert get(pacs, inbox, "1.2.3", "1.2.4").exit_code == 0
    assert len(kept(inbox)) == len(read_inbox(inbox).instances) == 72


@pytest.mark.parametrize(
    ("fault", "where", "sentence"),
    [
        ("404", "/studies/1.2.3/", "does not have it"),
        ("403", "/studies/1.2.3/", "does not allow it"),
        ("500", "/studies/1.2.3/", "failed over it"),
        ("503", "/studies/1.2.3/", "is busy"),
        ("html", "/studies/1.2.3/series", "is not what DICOM says"),
        ("page", "/studies/1.2.3/series/", "did not come"),
        ("foreign", "/studies/1.2.3/series/", "not asked for"),
        ("short", "/studies/1.2.3/series/", "cut short"),
    ],
)
def test_a_failing_study_is_a_sentence_and_the_others_go_on(
    pacs: Any, fill: Writer, tmp_path: Path, fault: str, where: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fill("1.2.9", patient="P9", skip=15)
    fill("1.2.3", skip=15)
    pacs.faults[fault] = where
    outcome = get(pacs, tmp_path, "1.2.3", "1.2.9")
    assert outcome.exit_code == 2
    assert outcome.done == ("line 2",)
    assert sentence in outcome.set_aside["line 1"]
    assert "1.2.3" not in outcome.set_aside["line 1"] + caplog.text
    assert {study_of(file) for file in kept(tmp_path)} == {"1.2.9"}


def test_an_image_without_its_envelope_is_taken(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=16)
    pacs.faults["single"] = "/series/"
    assert get(pacs, tmp_path, "1.2.3").exit_code == 0
    assert len(kept(tmp_path)) == 4


def test_a_server_that_is_gone_ends_it_and_the_rest_is_not_tried(pacs: Any, tmp_path: Path) -> None:
    pacs.url = "http://127.0.0.1:9/dw"
    outcome = get(pacs, tmp_path, *(f"1.{number}" for number in range(5)))
    assert outcome.exit_code == 1
    assert "does not answer" in outcome.set_aside["line 3"]
    assert outcome.set_aside["line 4"] == NOT_TRIED


def test_wrong_credentials_end_it_at_once(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    fill("1.2.3", skip=17)
    pacs.secret = "Bearer right"
    with Arrivals(tmp_path) as arrivals, pytest.raises(Denied, match="credentials") as caught:
        fetch(connect(pacs, token="wr0ng-t0ken"), [Wish("line 1", "1.2.3"), Wish("line 2", "1.2.4")], arrivals)
    assert "wr0ng" not in str(caught.value)
    assert len(pacs.asked) == 1


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


def test_killed_and_on_a_full_disk_it_continues_where_it_was(pacs: Any, fill: Writer, tmp_path: Path) -> None:
    def run(*words: str, quota: int | None = None) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if quota is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))

        return subprocess.run(
            [sys.executable, *words, "fetch", "--from", "2000-01-01"], capture_output=True, text=True, check=False,
            env=os.environ | {"KONSIL_HOME": str(tmp_path / "home"), "KONSIL_DICOMWEB_URL": pacs.url}, preexec_fn=limit,
        )  # fmt: skip

    fill("1.2.3", skip=14)
    inbox = tmp_path / "home" / "inbox"
    assert run("-c", DYING, str(2 + 3 * 5 + 1)).returncode == -signal.SIGKILL
    assert len(list(inbox.rglob(".part-*"))) == 1
    full = run("-m", "konsil.cli", quota=512)
    assert (full.returncode, "the disk is full" in full.stderr, "Traceback" in full.stderr) == (1, True, False)
    assert len(kept(inbox)) == 5
    assert run("-m", "konsil.cli").returncode == 0
    assert len(kept(inbox)) == 8
