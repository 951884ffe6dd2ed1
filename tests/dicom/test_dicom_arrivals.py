"""What is kept of images that come over the network: whole, once, and never before a study is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from konsil.dicom.arrivals import ARRIVING, NOT_WHOLE, SETTLED_S, STILL_ARRIVING, Arrivals, identity_of, unsettled
from konsil.dicom.inbox import list_inbox
from konsil.errors import BadInput


@pytest.fixture
def images(tmp_path: Path, series: Callable[..., str]) -> Path:
    series(tmp_path / "out", "T1w", skip=tuple(range(16)))
    return tmp_path / "out"


def test_a_study_counts_as_sent_a_minute_after_its_last_image(tmp_path: Path) -> None:
    with Arrivals(tmp_path) as arrivals:
        arrivals.arriving("1.2.3")
        folder = arrivals.path("1.2.3", "1").parent
        assert unsettled(folder) == STILL_ARRIVING
        assert list_inbox(tmp_path).unreadable == {STILL_ARRIVING: [f"received/{folder.name}"]}
        before = time.time() - SETTLED_S - 1
        os.utime(folder / ARRIVING, (before, before))
        assert unsettled(folder) == ""
        ahead = time.time() + 3600  # a clock that was set back does not hold a study for ever
        os.utime(folder / ARRIVING, (ahead, ahead))
        assert unsettled(folder) == ""


def test_a_study_that_is_fetched_is_used_when_it_is_whole(tmp_path: Path) -> None:
    with Arrivals(tmp_path) as arrivals:
        folder = arrivals.path("1.2.3", "1").parent
        arrivals.begin("1.2.3")
        arrivals.begin("1.2.3")
        assert unsettled(folder) == NOT_WHOLE
        arrivals.complete("1.2.3")
        arrivals.complete("1.2.3")
        assert unsettled(folder) == ""


def test_an_image_that_comes_again_corrected_replaces_the_former(tmp_path: Path, images: Path) -> None:
    file = sorted(images.iterdir())[0]
    first = file.read_bytes()
    second = first.replace(b"Klinikum Nordtor", b"Klinikum Suedtor")
    with Arrivals(tmp_path / "inbox") as arrivals:
        fresh = [arrivals.keep(content, identity_of(content)) for content in (first, first, second)]
        assert fresh == [True, False, True]
        (kept,) = arrivals.folder.glob("*/*")
        assert kept.read_bytes() == second
        assert kept.stat().st_mode & 0o777 == 0o640


def test_what_another_writer_is_writing_is_not_cleaned_away(tmp_path: Path) -> None:
    with Arrivals(tmp_path) as first:
        (first.folder / "study").mkdir()
        (first.folder / "study" / ".part-1.dcm").write_bytes(b"half")
        with Arrivals(tmp_path):
            assert list(first.folder.glob("*/.part-*"))
    with Arrivals(tmp_path) as alone:
        assert not list(alone.folder.glob("*/.part-*"))


def test_bytes_that_are_no_dicom_have_no_identity() -> None:
    for content in (b"", b"x" * 300, b"\0" * 128 + b"DICM" + b"\2\0"):
        with pytest.raises(BadInput):
            identity_of(content)
