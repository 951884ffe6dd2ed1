"""What a reviewer decides about a case is kept as it was said, and used only while the case is the same."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from pydantic import ValidationError
from typer.testing import CliRunner

from konsil.cli.app import assemble
from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.errors import BadInput, KonsilError, Missing
from konsil.files import read_json, sha256_of, write_bytes, write_json
from konsil.quality.pages import SEEN, seen_of
from konsil.quality.review import Opinion, read_reviews, record, review_file, split_reviews, withdraw
from konsil.quality.vocabulary import ARTIFACTS

CASE, OTHER = Case("1", "1"), Case("2", "1")
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SEEN_NOW, CHANGED = "a" * 64, "b" * 64
BROKEN = {"format": "konsil-review/1", "cases": {"sub-1_ses-1": {"decision": "accept"}}}


def page(folder: CohortFolder, case: Case, seen: str, rest: str = "") -> None:
    write_bytes(folder.report(case), f'<html>{SEEN}{seen}">{rest}'.encode())


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    folder = SiteFolder(tmp_path).cohort("ms-1")
    for case, verdict in ((CASE, "pass"), (OTHER, "fail")):
        page(folder, case, SEEN_NOW)
        write_json(folder.qc(case), {"verdict": verdict})
    return folder


def keep(folder: CohortFolder, case: Case, decision: str, note: str = "", *artifacts: str) -> None:
    opinion = Opinion(decision=decision, artifacts=list(artifacts), note=note)
    record(folder, case, opinion, by="reviewer", at=NOW, seen=SEEN_NOW)


def test_a_decision_is_kept_with_who_when_and_which_page(cohort: CohortFolder) -> None:
    keep(cohort, CASE, "exclude", "  in the\ncerebellum ", "coil-failure", "head-motion")
    found = read_reviews(cohort)[str(CASE)]
    assert found.reason == "Head motion; Coil failure: in the cerebellum"
    assert (found.by, found.at, found.page_sha256) == ("reviewer", NOW, sha256_of(cohort.report(CASE)))
    assert review_file(cohort).stat().st_mode & 0o777 == 0o600


def test_a_later_decision_takes_the_place_of_an_earlier_one_and_can_be_taken_back(cohort: CohortFolder) -> None:
    keep(cohort, CASE, "exclude", "noise")
    keep(cohort, CASE, "accept")
    assert read_reviews(cohort)[str(CASE)].decision == "accept"
    withdraw(cohort, CASE)
    withdraw(cohort, CASE)
    assert read_reviews(cohort) == {}


def test_a_decision_on_other_images_is_outdated_and_one_beside_other_cases_is_not(cohort: CohortFolder) -> None:
    keep(cohort, CASE, "accept")
    page(cohort, CASE, SEEN_NOW, "another patient joined the strips")
    assert list(split_reviews(cohort)[0]) == [str(CASE)]
    page(cohort, CASE, CHANGED)
    assert [list(part) for part in split_reviews(cohort)] == [[], [str(CASE)]]
    cohort.report(CASE).unlink()
    assert [list(part) for part in split_reviews(cohort)] == [[], [str(CASE)]]


def test_a_page_that_changed_since_it_was_opened_is_not_decided_on(cohort: CohortFolder) -> None:
    page(cohort, CASE, CHANGED)
    with pytest.raises(BadInput, match="has changed since it was opened"):
        keep(cohort, CASE, "accept")
    cohort.report(CASE).unlink()
    with pytest.raises(Missing, match="no page"):
        keep(cohort, CASE, "accept")
    assert read_reviews(cohort) == {}


def test_a_fail_is_accepted_only_with_a_reason(cohort: CohortFolder) -> None:
    with pytest.raises(BadInput, match="only with a reason"):
        keep(cohort, OTHER, "accept")
    keep(cohort, OTHER, "accept", "the ghost lies outside the brain")
    assert read_reviews(cohort)[str(OTHER)].decision == "accept"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"decision": "exclude"}, "needs an artifact or a note"),
        ({"decision": "exclude", "artifacts": ["dirt"]}, "not in the vocabulary"),
        ({"decision": "exclude", "note": "x" * 501}, "at most 500"),
        ({"decision": "perhaps", "note": "x"}, "accept"),
    ],
)
def test_what_is_no_decision_is_refused(content: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Opinion.model_validate(content)


def test_after_freezing_nothing_is_decided(cohort: CohortFolder) -> None:
    keep(cohort, CASE, "accept")
    write_json(cohort.frozen, {})
    with pytest.raises(BadInput, match="frozen"):
        keep(cohort, CASE, "exclude", "noise")
    with pytest.raises(BadInput, match="frozen"):
        withdraw(cohort, CASE)
    assert read_reviews(cohort)[str(CASE)].decision == "accept"


@pytest.mark.parametrize("content", [{}, {"format": "konsil-review/1"}, BROKEN])
def test_a_broken_file_is_a_sentence(cohort: CohortFolder, content: dict[str, object]) -> None:
    write_json(review_file(cohort), content)
    with pytest.raises(BadInput, match="reviews cannot be read"):
        read_reviews(cohort)


def test_two_people_at_once_lose_nothing(cohort: CohortFolder) -> None:
    names = [Case(str(number), "1") for number in range(10, 18)]
    for case in names:
        page(cohort, case, SEEN_NOW)
    threads = [threading.Thread(target=keep, args=(cohort, case, "accept")) for case in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_json(review_file(cohort))["cases"]) == [str(case) for case in names]


def typed(cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setenv("KONSIL_HOME", str(cohort.site.home))
    return CliRunner().invoke(assemble(), ["review", cohort.name, *words])


def test_the_verb_decides_lists_and_takes_back(cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ("--case", str(CASE), "--by", "Dr. Weber")
    exclude = typed(
        cohort, monkeypatch, *one, "--decision", "exclude", "--artifact", "inu", "--artifact", "head-motion"
    )
    assert exclude.exit_code == 0
    assert "sub-1_ses-1: exclude, Head motion; Uneven intensity by Dr. Weber" in exclude.output
    assert read_reviews(cohort)[str(CASE)].seen == SEEN_NOW
    page(cohort, CASE, CHANGED)
    assert "(outdated" in typed(cohort, monkeypatch).output
    assert typed(cohort, monkeypatch, *one, "--decision", "withdraw").exit_code == 0
    assert read_reviews(cohort) == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--case", "sub-1_ses-1"], "not complete"),
        (["--case", "sub-1_ses-1", "--decision", "accept", "--by", " "], "not complete"),
        (["--case", "sub-1_ses-1", "--decision", "perhaps", "--by", "me"], "no decision"),
        (["--case", "sub-1_ses-1", "--decision", "exclude", "--by", "me"], "needs an artifact or a note"),
        (["--case", "me", "--decision", "accept", "--by", "me"], "not the name of a case"),
        (["--case", "sub-9_ses-1", "--decision", "accept", "--by", "me"], "no page"),
    ],
)
def test_the_verb_refuses_in_a_sentence(
    cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    refused = typed(cohort, monkeypatch, *words)
    assert isinstance(refused.exception, KonsilError)
    assert sentence in refused.exception.sentence
    assert read_reviews(cohort) == {}


def test_only_the_head_of_a_page_says_what_was_seen(cohort: CohortFolder) -> None:
    write_bytes(cohort.report(CASE), b"x" * 5000 + f'{SEEN}{SEEN_NOW}"'.encode())
    assert seen_of(cohort.report(CASE)) == ""


def test_the_vocabulary_is_mriqcs() -> None:
    """Keys of the rating widget in MRIQC's report, which its rating files hold."""
    assert list(ARTIFACTS) == [
        "head-motion", "eye-spillover", "noneye-spillover", "coil-failure", "noise-global", "noise-local",
        "em-perturbation", "wrap-around", "ghost-aliasing", "ghosts-other", "inu", "field-variation",
        "postprocessing", "uncategorized",
    ]  # fmt: skip
