"""A decision is signed and pinned: what changed afterwards is not approved, and a policy covers what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError
from konsil.files import read_json, write_bytes, write_json
from konsil.learners.origin import code_of
from konsil.parties.approvals import approvals
from konsil.parties.policies import policies
from tests.parties.town import Town

CHARTER = {"run": "lines-1", "sites": ["A", "B"], "rounds": 2, "title": "Lines"}
BY = ["--by", "Dr. Weber"]
pytestmark = pytest.mark.usefixtures("lines")


@pytest.fixture
def asked(town: Town, cohort: Callable[[Path, int], Path]) -> Town:
    """A town in which a charter has arrived, and every site has a cohort."""
    for site in "AB":
        cohort(SiteFolder(town.root / site).cohort("lines").path, 2)
    publish(town)
    return town


def publish(town: Town, **rules: object) -> str:
    """Let the centre publish a charter; gives the run's name."""
    path = town.root / "charter.json"
    write_json(path, {**CHARTER, **rules})
    town.run("centre", "run", str(path), "--until", "charter")
    return str(rules.get("run", "lines-1"))


def accept(town: Town, site: str = "A", run: str = "lines-1", *more: str) -> None:
    town.run(site, "decide", run, "--accept", "--cohort", "lines", *BY, *more)


def answers(town: Town, site: str = "A") -> str:
    return str(town.stint(site, "take-part", "lines-1", "--until", "answers")["state"])


def change_cohort(town: Town) -> None:
    path = SiteFolder(town.root / "A").cohort("lines").frozen
    write_json(path, read_json(path) | {"seed": 2})


def change_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("konsil.parties.records.code_of", lambda name: "f" * 64)


def test_a_decision_is_signed_and_names_charter_learner_and_cohort(asked: Town) -> None:
    accept(asked)
    (given,) = approvals(asked.root / "A")
    assert given.approval is not None
    assert given.approval.by == "Dr. Weber"
    assert given.approval.learner.code == code_of("nnunet")
    assert given.approval.cohort is not None
    assert (given.approval.cohort.name, given.approval.cohort.cases) == ("lines", 4)
    assert answers(asked) == "done"
    assert "Dr. Weber" not in "".join(path.read_text("latin-1") for path in (asked.root / "store").rglob("manifest-*"))


def test_a_changed_cohort_voids_it_and_it_can_be_given_again(asked: Town) -> None:
    accept(asked)
    change_cohort(asked)
    with pytest.raises(KonsilError, match="does not count any more: the cohort changed"):
        answers(asked)
    assert "the cohort changed" in asked.run("A", "decide", "lines-1").output
    accept(asked)
    assert answers(asked) == "done"


def test_a_changed_learner_voids_it_also_in_the_middle(asked: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(asked)
    assert answers(asked) == "done"
    change_learner(monkeypatch)
    with pytest.raises(KonsilError, match="the learner changed: approved was nnunet"):
        asked.stint("A", "take-part", "lines-1")
    with pytest.raises(KonsilError, match="has accepted lines-1 before"):  # a change of mind is said otherwise
        asked.run("A", "decide", "lines-1", "--refuse", "no more", *BY)
    accept(asked)
    assert asked.stint("A", "take-part", "lines-1")["state"] == "waiting"


def test_another_image_voids_it(asked: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(asked)
    monkeypatch.setenv("KONSIL_IMAGE", "sha256:" + "a" * 64)
    with pytest.raises(KonsilError, match="image sha256:aaa"):
        answers(asked)
    monkeypatch.setenv("KONSIL_IMAGE", "newest")
    with pytest.raises(KonsilError, match="KONSIL_IMAGE is not usable"):
        answers(asked)


@pytest.mark.parametrize("spoil", ["edited", "of B", "gone", "decision edited"])
def test_only_what_this_site_signed_counts(asked: Town, spoil: str) -> None:
    accept(asked)
    accept(asked, "B")
    path = asked.root / "A" / "runs" / "lines-1" / "approval.signed"
    if spoil == "edited":
        write_bytes(path, path.read_bytes().replace(b"Dr. Weber", b"Dr. Waber"))
    elif spoil == "of B":
        write_bytes(path, (asked.root / "B" / "runs" / "lines-1" / "approval.signed").read_bytes())
    elif spoil == "gone":
        path.unlink()
    else:
        decision = path.with_name("decision.json")
        write_json(decision, read_json(decision) | {"cohort": "other"})
    with pytest.raises(KonsilError, match="does not count any more"):
        answers(asked)


def test_a_standing_policy_accepts_the_next_charter_and_asks_for_a_larger_one(asked: Town) -> None:
    accept(asked, "A", "lines-1", "--standing", "--bound", "rounds=1..3")
    publish(asked, run="lines-2", rounds=3)
    assert "policy lines-1 covers it" in asked.run("A", "decide", "lines-2").output
    asked.run("A", "decide", "lines-2", "--by-policy")
    by_hand, by_rule = approvals(asked.root / "A")
    (one,) = policies(asked.root / "A")
    assert by_hand.approval is not None
    assert by_rule.approval is not None
    assert (by_hand.approval.policy, by_rule.approval.policy) == (None, one.digest)
    publish(asked, run="lines-3", rounds=4)
    assert "rounds is 4, and at least 1 and at most 3 is allowed" in asked.run("A", "decide", "lines-3").output
    with pytest.raises(KonsilError, match=r"No standing policy covers lines-3; got .*rounds is 4"):
        asked.run("A", "decide", "lines-3", "--by-policy")
    with pytest.raises(KonsilError, match="No standing policy covers lines-2; got no policy"):
        asked.run("B", "decide", "lines-2", "--by-policy")


def test_a_revoked_policy_asks_again(asked: Town) -> None:
    accept(asked, "A", "lines-1", "--standing", "--policy-name", "every-night")
    with pytest.raises(KonsilError, match="There is no policy lines-1; expected one of every-night"):
        asked.run("A", "policy", "revoke", "lines-1", *BY)
    asked.run("A", "policy", "revoke", "every-night", *BY, "--why", "vote ended")
    listed = json.loads(asked.run("A", "policy", "list", "--json").stdout)
    assert [(one["name"], one["state"], one["why"][:10]) for one in listed] == [
        ("every-night", "revoked", "vote ended")
    ]
    publish(asked, run="lines-2")
    with pytest.raises(KonsilError, match="No standing policy covers"):
        asked.run("A", "decide", "lines-2", "--by-policy")
    assert '"event":"policy revoked"' in (asked.root / "A" / "audit.jsonl").read_text()


def test_a_policy_that_was_edited_or_comes_from_elsewhere_does_not_count(asked: Town) -> None:
    accept(asked, "A", "lines-1", "--standing")
    accept(asked, "B", "lines-1", "--standing")
    path = asked.root / "A" / "policies" / "lines-1.signed"
    honest = path.read_bytes()
    for content in (
        honest.replace(b'"at_most":2.0', b'"at_most":9.0'),
        b"",
        (asked.root / "B" / "policies" / path.name).read_bytes(),
    ):
        write_bytes(path, content)
        assert [one.state for one in policies(asked.root / "A")] == ["unreadable"]
    write_bytes(path.with_name("other-name.signed"), honest)
    assert {one.state for one in policies(asked.root / "A")} == {"unreadable"}


def test_a_policy_that_is_not_usable_decides_nothing(asked: Town) -> None:
    for words in (["--bound", "title=1..2"], ["--days", "0"], ["--bound", "rounds"]):
        with pytest.raises(KonsilError, match=r"not usable|cannot be read"):
            accept(asked, "A", "lines-1", "--standing", *words)
    assert approvals(asked.root / "A") == []
    assert policies(asked.root / "A") == []


def test_the_reason_of_a_refusal_reaches_the_centre_and_nobody_else(asked: Town) -> None:
    for site in "AB":
        asked.run(site, "decide", "lines-1", "--refuse", f"no vote\nyet at {site}", *BY)
        asked.stint(site, "take-part", "lines-1")
    ending = asked.stint("centre", "run", "--resume", "lines-1", code=1)
    assert ending["refusals"] == {"A": "no vote yet at A", "B": "no vote yet at B"}
    assert "no vote" not in (asked.root / "centre" / "runs" / "lines-1" / "summary.json").read_text()
