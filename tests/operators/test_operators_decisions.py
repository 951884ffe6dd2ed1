"""What a reviewer types becomes decisions, or a sentence."""

from datetime import UTC, datetime

import pytest

from konsil.cohort.frozen import SignOff
from konsil.errors import BadInput
from konsil.quality.review import Review
from operators.decisions import read_decisions, with_reviews

KNOWN = ["sub-1_ses-1", "sub-2_ses-1", "sub-3_ses-1"]


def test_nothing_typed_is_no_decision() -> None:
    assert read_decisions(None, "", None, KNOWN) == {}


def test_each_line_has_its_reason() -> None:
    assert read_decisions("sub-1_ses-1: motion: strong\n\nsub-2_ses-1:cropped", None, None, KNOWN) == {
        "sub-1_ses-1": {"decision": "exclude", "reason": "motion: strong"},
        "sub-2_ses-1": {"decision": "exclude", "reason": "cropped"},
    }


def test_the_comment_is_the_reason_of_lines_without_one() -> None:
    found = read_decisions("sub-1_ses-1, sub-2_ses-1", "sub-3_ses-1: fine", "motion", KNOWN)
    assert [found[case]["reason"] for case in KNOWN] == ["motion", "motion", "fine"]
    assert found["sub-3_ses-1"]["decision"] == "accept"


@pytest.mark.parametrize(
    ("exclude", "accept", "comment", "words"),
    [
        ("sub-9_ses-1: x", None, None, "does not have; got sub-9_ses-1"),
        ("sub-1_ses-1: x", "sub-1_ses-1: y", None, "twice"),
        ("sub-1_ses-1", None, "  ", "no reason was given for sub-1_ses-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(exclude: str, accept: str | None, comment: str | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_decisions(exclude, accept, comment, KNOWN)


def test_what_was_typed_wins_over_the_tab_and_each_says_who_and_when() -> None:
    early = datetime(2026, 11, 20, tzinfo=UTC)
    kept = {
        case: Review(decision="accept", note="fine", by="dr-novak", at=early, page_sha256="a" * 64, seen="b" * 64)
        for case in KNOWN[:2]
    }
    typed = read_decisions("sub-2_ses-1: motion", None, None, KNOWN)
    found = with_reviews(typed, kept, by="dr-weber", at="2026-11-21T09:00:00+00:00")
    signed = SignOff(by="dr-weber", at=datetime.now(UTC), report_sha256="c" * 64, decisions=found)
    one, two = (signed.decisions[case] for case in KNOWN[:2])
    assert (one.decision, one.by, one.at, one.page_sha256) == ("accept", "dr-novak", early, "a" * 64)
    assert (two.decision, two.reason, two.by, two.page_sha256) == ("exclude", "motion", "dr-weber", None)
    assert list(found) == KNOWN[:2]
