"""Thousands of damaged files: a sentence for each, never a traceback, a hang or a name."""

from __future__ import annotations

import faulthandler
import logging
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import SiteFolder
from konsil.dicom.deidentify import copy_file
from konsil.dicom.pseudonyms import Pseudonyms
from konsil.dicom.rebuild import Copier
from konsil.dicom.scan import scan
from konsil.errors import BadInput

FILES = 2400
HANG_S = 600
LARGEST_GROWTH_KIB = 600 * 1024


@pytest.fixture(autouse=True)
def _no_hang(times: int) -> Iterator[None]:
    """A file that never ends ends the tests, with the place."""
    faulthandler.dump_traceback_later(HANG_S * times, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, times: int, planted: tuple[str, ...]) -> Path:
    """An inbox with every kind of file, spoilt in every way, each under the name of its patient."""
    from fuzz_damage import spoilt
    from fuzz_seeds import Study, single_files

    inbox = tmp_path_factory.mktemp("damaged")
    kinds = Study(single_files())
    names = sorted(kinds.files)
    for number in range(FILES * times):
        chance, kind = random.Random(number), names[number % len(names)]
        content = spoilt(kinds.numbered(number % 80000)[kind], chance)
        (inbox / f"{planted[0]}_{number:06}_{kind}").write_bytes(content)
    return inbox


def names_in(text: str, planted: tuple[str, ...]) -> set[str]:
    """The planted values that a text repeats."""
    return {value for value in planted if value in text.upper()}


def test_a_scan_goes_through_them_all(
    damaged: Path,
    tmp_path: Path,
    times: int,
    planted: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    site = SiteFolder(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = scan(site, "fuzz", damaged)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LARGEST_GROWTH_KIB * times
    assert len(outcome.set_aside) > 500
    assert names_in(str(outcome) + caplog.text + "".join(capfd.readouterr()), planted) == set()
    assert not [text for text in outcome.set_aside.values() if "itself failed" in text]
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*.json"))
    assert names_in(written, planted) == set()


def fresh() -> Copier:
    """Copies files of a series of which none was seen yet."""
    return Copier("T1w", Case("p", "1"), Pseudonyms(bytes(32)))


def test_a_copy_is_whole_or_refused_in_a_sentence(
    damaged: Path, tmp_path: Path, planted: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said, copied = [], 0
    series = fresh()
    for number, file in enumerate(sorted(damaged.iterdir())):
        try:
            copy_file(damaged, file.name, tmp_path / "copy.dcm", series)
            copied += 1
            if number % 5 == 0:
                copy_file(damaged, file.name, tmp_path / "alone.dcm", fresh())
                same = (tmp_path / "copy.dcm").read_bytes() == (tmp_path / "alone.dcm").read_bytes()
                assert same, f"{file.name}: what was read before changed the copy"
            assert names_in((tmp_path / "copy.dcm").read_bytes().decode("latin-1"), planted) == set(), file.name
        except BadInput as refusal:
            said.append(refusal.sentence)
    assert names_in("".join(said) + caplog.text, planted) == set()
    assert copied > 200
    assert len(said) > 200
