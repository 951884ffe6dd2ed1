"""What a reviewer types becomes decisions, or a sentence."""

import pytest

from konsil.errors import BadInput
from operators.decisions import read_decisions

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
