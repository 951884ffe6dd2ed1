"""Damaged studies on the whole way from inbox to BIDS: every case is complete or set aside with a sentence."""

from __future__ import annotations

import faulthandler
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from konsil.cohort.folder import SUFFIXES, CohortFolder, SiteFolder
from konsil.dicom import converter
from konsil.dicom.convert import convert
from konsil.dicom.deidentify import deidentify
from konsil.dicom.scan import scan
from konsil.types import Outcome

MULTIFRAME, CLASSIC, WHOLE = 200, 25, 3
HANG_S = 600
CONVERTER_S = 20


@pytest.fixture(scope="module", autouse=True)
def _no_hang(times: int) -> Iterator[None]:
    """A file that never ends ends the tests, with the place."""
    faulthandler.dump_traceback_later(HANG_S * times, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def study(kind: Any, number: int, folder: Path, *, whole: bool) -> None:
    """Write one patient, with one or two damaged files unless they are to stay whole."""
    from fuzz_damage import spoilt

    chance = random.Random(number)
    files = kind.numbered(number)
    for name in () if whole else chance.sample(sorted(files), chance.choice((1, 1, 2))):
        files[name] = spoilt(files[name], chance)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def walked(
    tmp_path_factory: pytest.TempPathFactory, times: int, planted: tuple[str, ...]
) -> tuple[CohortFolder, list[Outcome], str]:
    """The cohort after scan, de-identification and conversion of all studies, the outcomes, and all that was said."""
    from fuzz_seeds import classic_study, enhanced_study

    inbox, site = tmp_path_factory.mktemp("studies"), SiteFolder(tmp_path_factory.mktemp("home"))
    for first, count, kind in ((0, MULTIFRAME, enhanced_study()), (40000, CLASSIC, classic_study())):
        for number in range(first, first + count * times):
            study(kind, number, inbox / str(number), whole=number < first + WHOLE)
    said: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(converter, "TIMEOUT_S", CONVERTER_S)
        outcomes = [scan(site, "fuzz", inbox), deidentify(site, "fuzz"), convert(site, "fuzz")]
    logging.getLogger().removeHandler(handler)
    return site.cohort("fuzz"), outcomes, "\n".join(said)


def test_whole_and_refused_studies_are_both_among_them(walked: tuple[CohortFolder, list[Outcome], str]) -> None:
    scanned, copied, converted = walked[1]
    assert len(converted.done) >= WHOLE * 2
    assert len(converted.done) < len(scanned.done)
    assert len(scanned.set_aside) > 20
    assert copied.done


def test_every_case_is_complete_and_readable_or_absent(walked: tuple[CohortFolder, list[Outcome], str]) -> None:
    cohort = walked[0]
    done = {str(case): case for case in cohort.cases()}
    assert set(walked[1][2].done) == set(done)
    assert {folder.name for folder in cohort.path.glob("sub-*/ses-*/anat/*_*.nii.gz")} == {
        cohort.raw(case, suffix).name for case in done.values() for suffix in SUFFIXES
    }
    for case in done.values():
        for suffix in SUFFIXES:
            image: Any = nib.load(cohort.raw(case, suffix))
            assert np.isfinite(np.asanyarray(image.dataobj)).all()
            assert cohort.raw(case, suffix).with_suffix("").with_suffix(".json").is_file()


def test_nothing_is_left_over(walked: tuple[CohortFolder, list[Outcome], str]) -> None:
    assert [path for path in walked[0].site.home.rglob("*") if path.name.startswith(".part-")] == []


def test_every_refusal_is_a_sentence_without_a_name(
    walked: tuple[CohortFolder, list[Outcome], str], planted: tuple[str, ...]
) -> None:
    cohort, outcomes, said = walked
    sentences = [sentence for outcome in outcomes for sentence in outcome.set_aside.values()]
    assert [sentence for sentence in sentences if "itself failed" in sentence] == []
    assert [sentence for sentence in sentences if not sentence.endswith(".")] == []
    heard = (said + "".join(sentences)).upper()
    assert {value for value in planted if value in heard} == set()
    for path in cohort.site.home.rglob("*.json"):
        assert {value for value in planted if value in path.read_text().upper()} == set(), path.name


def test_a_second_run_changes_nothing(walked: tuple[CohortFolder, list[Outcome], str]) -> None:
    cohort, outcomes, _ = walked
    before = {path: path.read_bytes() for path in cohort.path.rglob("*") if path.is_file()}
    assert deidentify(cohort.site, "fuzz").done == outcomes[1].done
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(converter, "TIMEOUT_S", CONVERTER_S)
        assert convert(cohort.site, "fuzz") == outcomes[2]
    assert {path: path.read_bytes() for path in cohort.path.rglob("*") if path.is_file()} == before
