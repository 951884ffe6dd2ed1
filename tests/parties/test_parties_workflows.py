"""A learner is published, reviewed by somebody else, offered, and sites that trust a reviewer run nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from konsil.cohort.folder import SiteFolder
from konsil.errors import KonsilError
from konsil.federation.charter import parse_charter
from konsil.files import read_json, write_bytes, write_json
from konsil.parties.approvals import approval_of
from konsil.parties.dossier import dossier
from konsil.parties.reviewers import is_needed, reviewers
from konsil.parties.simulation import Simulation
from konsil.parties.workflows import publish
from konsil.trust.person import make_signer, signer
from tests.parties.town import Town

NAME = "nnunet-ms@1.2"
BY = ["--by", "Dr. Klein"]
DRAFT = 'name = "nnunet-ms"\nversion = "1.2"\nlearner = "nnunet"\ntested = ["Three phantom sites"]\ncard = "card.md"\n'
pytestmark = pytest.mark.usefixtures("lines")


class People(Town):
    """A town with an author and a reviewer, who work in the centre's folder with keys of their own."""

    def key(self, name: str) -> list[str]:
        folder = self.root / "people" / name
        if not folder.exists():
            self.run("centre", "workflow", "key", str(folder), "--name", name)
        return ["--key", str(folder)]

    def publish(self, draft: str = DRAFT) -> None:
        (self.root / "card.md").write_text("# nnU-Net\nFor <b>lesions</b>.\n")
        (self.root / "draft.toml").write_text(draft)
        self.run("centre", "workflow", "publish", str(self.root / "draft.toml"), *self.key("Lee"))

    def review(self, verdict: str = "--approve", by: str = "Weber") -> None:
        self.run("centre", "workflow", "review", NAME, verdict, "--words", "Reran it.", *self.key(by))

    def trust(self, who: str, reviewer: str = "Weber") -> None:
        self.key(reviewer)
        self.run(who, "workflow", "trust", str(self.root / "people" / reviewer / "person.json"), *BY)

    def propose(self, run: str = "lines-1", **rules: object) -> None:
        path = self.root / f"{run}.json"
        write_json(path, {"run": run, "sites": ["A", "B"], "rounds": 2, **rules})
        self.run("centre", "run", str(path), "--until", "charter")

    def state(self) -> tuple[str, str]:
        (one,) = json.loads(self.run("centre", "workflow", "list", "--json").stdout)
        return one["state"], one["why"]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cohort: Callable[[Path, int], Path]) -> People:
    people = People(tmp_path, monkeypatch)
    for site in "AB":
        cohort(SiteFolder(people.root / site).cohort("lines").path, 2)
    return people


@pytest.fixture
def reviewed(people: People) -> People:
    """A workflow that Weber approved, whom the centre and A trust and B does not know."""
    people.publish()
    people.review()
    people.trust("centre")
    people.trust("A")
    return people


def accept(people: People, site: str, run: str = "lines-1", *more: str) -> None:
    people.run(site, "decide", run, "--accept", "--cohort", "lines", *BY, *more)


def test_a_reviewed_learner_is_offered_told_and_accepted(reviewed: People) -> None:
    assert reviewed.state() == ("approved", "")
    reviewed.propose(workflow=NAME)
    told = reviewed.run("A", "decide", "lines-1").output
    assert "Reviewed by Weber on 20" in told
    assert "“Reran it.” (nnunet-ms@1.2, published by Lee)" in told
    accept(reviewed, "A")
    approval, _ = approval_of(reviewed.root / "A", "lines-1")
    (review,) = (reviewed.root / "centre" / "workflows" / NAME).glob("review-*.signed")
    assert approval.review is not None
    assert review.read_bytes().startswith(b"konsil-review/1\n")
    assert reviewed.stint("A", "take-part", "lines-1", "--until", "answers")["state"] == "done"
    assert "Not reviewed: it was reviewed by Weber (fing" in reviewed.run("B", "decide", "lines-1").output
    accept(reviewed, "B")  # which has never trusted anybody
    assert approval_of(reviewed.root / "B", "lines-1")[0].review is None
    found = dossier(reviewed.root / "A", "lines-1")
    assert (found["workflow"]["card"], found["workflow"]["tested"]) == (
        "# nnU-Net\nFor <b>lesions</b>.\n",
        ["Three phantom sites"],
    )


def test_a_site_that_trusts_a_reviewer_runs_nothing_else_and_the_centre_hears_why(reviewed: People) -> None:
    reviewed.propose()
    with pytest.raises(
        KonsilError, match=r"runs reviewed learners only: the charter brings no reviewed workflow\. Ref"
    ):
        accept(reviewed, "A")
    assert not (reviewed.root / "A" / "runs" / "lines-1" / "approval.signed").exists()
    reason = "This site runs reviewed learners only: the charter brings no reviewed workflow."
    assert reason in reviewed.run("A", "decide", "lines-1").output
    for site in "AB":
        reviewed.run(site, "decide", "lines-1", "--refuse", reason, *BY)
        reviewed.stint(site, "take-part", "lines-1")
    assert reviewed.stint("centre", "run", "--resume", "lines-1", code=1)["refusals"]["A"] == reason


def test_the_setting_speaks_for_itself(reviewed: People, monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed.propose()
    monkeypatch.setenv("KONSIL_REVIEWED_ONLY", "true")
    with pytest.raises(KonsilError, match="runs reviewed learners only"):
        accept(reviewed, "B")
    monkeypatch.setenv("KONSIL_REVIEWED_ONLY", "false")
    accept(reviewed, "A")


def test_changed_code_is_not_what_was_reviewed(reviewed: People, monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed.propose(workflow=NAME)
    accept(reviewed, "A", "lines-1", "--standing")
    reviewed.propose("lines-2", workflow=NAME)
    monkeypatch.setattr("konsil.parties.records.code_of", lambda name: "f" * 64)
    with pytest.raises(KonsilError, match=r"the code here is another one: reviewed was nnunet .*Have that put right"):
        accept(reviewed, "A")
    with pytest.raises(KonsilError, match="cannot be offered to sites; got the code here is another one"):
        reviewed.propose("lines-3", workflow=NAME)
    assert not (reviewed.root / "centre" / "runs" / "lines-3").exists()
    with pytest.raises(KonsilError, match="cannot be approved from here: the code here is another one"):
        reviewed.review(by="Third")


def test_a_standing_policy_does_not_stand_in_for_a_review(reviewed: People) -> None:
    reviewed.propose(workflow=NAME)
    accept(reviewed, "A", "lines-1", "--standing")
    reviewed.propose("lines-2", workflow=NAME)
    reviewed.run("A", "decide", "lines-2", "--by-policy")
    reviewed.propose("lines-3")
    with pytest.raises(KonsilError, match="runs reviewed learners only"):
        reviewed.run("A", "decide", "lines-3", "--by-policy")


def test_what_is_not_approved_here_or_withdrawn_is_not_offered(people: People) -> None:
    with pytest.raises(KonsilError, match=r"There is no workflow nnunet-ms@1.2; expected one of: none yet"):
        people.propose(workflow=NAME)
    people.publish()
    assert people.state() == ("not approved", "nobody has reviewed it")
    people.review()
    with pytest.raises(KonsilError, match=r"got it was reviewed by Weber \(fingerprint .*, who is not trusted here"):
        people.propose(workflow=NAME)
    people.trust("centre")
    people.run("centre", "workflow", "withdraw", NAME, "--why", "wrong rate", *people.key("Lee"))
    with pytest.raises(KonsilError, match=r"got it was withdrawn: wrong rate \(Lee, 20"):
        people.propose(workflow=NAME)
    with pytest.raises(KonsilError, match="was withdrawn"):
        people.review(by="Third")
    assert not list((people.root / "store").glob("global/lines-1/**/manifest-*"))


def test_a_verdict_is_somebody_elses_and_final(people: People) -> None:
    people.publish()
    with pytest.raises(KonsilError, match="reviewed by another person than its author"):
        people.review(by="Lee")
    with pytest.raises(KonsilError, match="either --approve or --refuse"):
        people.run("centre", "workflow", "review", NAME, "--words", "?", *people.key("Weber"))
    people.review("--refuse")
    with pytest.raises(KonsilError, match=r"Weber has reviewed nnunet-ms@1.2 already"):
        people.review()
    people.trust("centre")
    people.trust("centre", "Third")
    people.review(by="Third")
    assert people.state() == ("not approved", "Weber refused nnunet-ms@1.2: Reran it.")
    assert "Third" in people.run("centre", "workflow", "show", NAME).output


@pytest.mark.parametrize("file", ["workflow.signed", "review-"])
def test_a_record_that_was_edited_is_not_offered(reviewed: People, file: str) -> None:
    path = next((reviewed.root / "centre" / "workflows" / NAME).glob(f"{file}*"))
    write_bytes(path, path.read_bytes().replace(b"Reran it.", b"Read it.").replace(b"phantom", b"patient"))
    state, why = reviewed.state()
    assert state == "not approved"
    assert "signature is not that of its sender" in why
    with pytest.raises(KonsilError, match="cannot be offered"):
        reviewed.propose(workflow=NAME)


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        ("name = ", "cannot be read; expected TOML"),
        (DRAFT + 'code = "1"\n', "fields that nobody reads.* got code"),
        (DRAFT.replace("nnunet-ms", "NN"), "makes no workflow; expected name: "),
        (DRAFT.replace('["Three phantom sites"]', "[]"), "makes no workflow; expected tested: "),
        (DRAFT.replace("card.md", "gone.md"), "card is not there"),
        (DRAFT.replace('"nnunet"', '"monai"'), "names no learner of this Konsil; expected nnunet; got 'monai'"),
        (DRAFT + 'images = ["latest"]\n', "makes no workflow; expected images.0: "),
    ],
)
def test_a_draft_that_is_not_usable_publishes_nothing(tmp_path: Path, draft: str, why: str) -> None:
    make_signer(tmp_path / "key", "Lee")
    (tmp_path / "card.md").write_text("# nnU-Net\n")
    (tmp_path / "draft.toml").write_text(draft)
    with pytest.raises(KonsilError, match=why):
        publish(tmp_path / "workflows", tmp_path / "draft.toml", signer(tmp_path / "key"))
    assert not (tmp_path / "workflows").exists()


def test_a_version_is_published_once_and_only_where_the_learner_is(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish()
    with pytest.raises(KonsilError, match="was published already"):
        people.publish()
    monkeypatch.setattr("konsil.parties.records.versions_of", lambda name: {"konsil": "1"})
    with pytest.raises(KonsilError, match="nnunetv2 is not installed here"):
        people.publish(DRAFT.replace("1.2", "1.3"))


def test_only_what_this_site_signed_makes_a_reviewer_known(reviewed: People) -> None:
    home = reviewed.root / "A"
    reviewed.run("centre", "workflow", "key", str(reviewed.root / "people" / "other"), "--name", "weber")
    with pytest.raises(KonsilError, match="called weber is trusted here with another key"):
        reviewed.run("A", "workflow", "trust", str(reviewed.root / "people" / "other" / "person.json"), *BY)
    (path,) = (home / "reviewers").glob("*.signed")
    honest = path.read_bytes()
    write_bytes(path, next((reviewed.root / "centre" / "reviewers").glob("*.signed")).read_bytes())
    assert [one.state for one in reviewers(home)] == ["unreadable"]
    assert is_needed(home, None)
    write_bytes(path, honest)
    assert "Weber: counts. fingerprint" in reviewed.run("A", "workflow", "reviewers").output
    reviewed.run("A", "workflow", "dismiss", "Weber", *BY, "--why", "left")
    assert [one.state for one in reviewers(home)] == ["dismissed"]
    assert is_needed(home, None), "nothing unreviewed runs because the last reviewer has gone"
    write_bytes(path.with_name("0123456789abcdef.signed"), honest)  # to come back under another name
    assert [one.state for one in reviewers(home)] == ["unreadable", "dismissed"]
    reviewed.propose(workflow=NAME)
    with pytest.raises(KonsilError, match="who is not trusted here"):
        accept(reviewed, "A")
    with pytest.raises(KonsilError, match="was dismissed here"):
        reviewed.trust("A")
    events = [line for line in (home / "audit.jsonl").read_text().splitlines() if "reviewer " in line]
    assert ['"reviewer trusted"' in events[0], '"reviewer dismissed"' in events[-1]] == [True, True]


def test_a_person_has_one_key_and_an_unchanged_file(people: People) -> None:
    people.key("Weber")
    folder = people.root / "people" / "Weber"
    with pytest.raises(KonsilError, match="has a key already"):
        people.run("centre", "workflow", "key", str(folder), "--name", "Weber")
    with pytest.raises(KonsilError, match="has a key already"):
        people.run("centre", "workflow", "key", str(people.root / "A"), "--name", "Weber")
    with pytest.raises(KonsilError, match="cannot bear this name"):
        people.run("centre", "workflow", "key", str(people.root / "people" / "x"), "--name", "a\nb")
    with pytest.raises(KonsilError, match="no personal key in"):
        people.run("centre", "workflow", "withdraw", NAME, "--key", str(people.root / "people" / "x"))
    assert (folder / "keys" / "identity.json").stat().st_mode & 0o077 == 0
    write_json(folder / "person.json", read_json(folder / "person.json") | {"name": "Weder"})
    with pytest.raises(KonsilError, match="This is no person's file"):
        people.trust("A")
    assert reviewers(people.root / "A") == []


def test_a_simulation_asks_for_no_review(tmp_path: Path, cohort: Callable[[Path, int], Path]) -> None:
    charter = parse_charter({"run": "lines-1", "sites": ["A", "B"], "rounds": 1, "workflow": NAME})
    cohorts = {site: cohort(tmp_path / site / "cohorts" / "lines", 2) for site in "AB"}
    assert Simulation(charter, cohorts, tmp_path / "out").run().state == "finished"
