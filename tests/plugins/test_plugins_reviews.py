"""Decisions from the tab: from our own pages, by those who may sign, in their name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.files import write_bytes, write_json
from konsil.quality.pages import SEEN
from konsil.quality.review import read_reviews, review_file
from tests.plugins.visitors import Person, as_person

CASE, SEEN_NOW = Case("1", "1"), "a" * 64
OURS = {"X-Konsil-Review": "1", "Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}
ACCEPT = {"case": str(CASE), "decision": "accept", "artifacts": [], "note": "", "seen": SEEN_NOW}


class Manager:
    """Viewers may not answer questions; of the others, those who are assigned may."""

    def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: Person) -> bool:
        assert (method, access_entity.name, details.id) == ("PUT", "HITL_DETAIL", "prepare_cohort")
        return user.name != "viewer"

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Person) -> bool:
        return user.name in assigned_users


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CohortFolder:
    monkeypatch.setenv("KONSIL_HOME", str(tmp_path))
    folder = SiteFolder(tmp_path).cohort("ms-1")
    write_bytes(folder.reports / "cohort.html", b"the cohort")
    write_bytes(folder.report(CASE), f'{SEEN}{SEEN_NOW}">'.encode())
    write_json(folder.qc(CASE), {"verdict": "pass"})
    return folder


@pytest.fixture
def as_(cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch) -> Any:
    from plugins import reviews

    monkeypatch.setattr(reviews, "get_auth_manager", Manager)
    return as_person


def test_a_reviewer_decides_in_their_own_name(as_: Any, cohort: CohortFolder) -> None:
    answer = as_("reviewer").post("/quality/ms-1/review", json=ACCEPT | {"by": "somebody else"}, headers=OURS)
    assert answer.status_code == 200
    assert read_reviews(cohort)[str(CASE)].by == "reviewer"
    shown = answer.json()
    assert shown["may"] is True
    assert shown["cases"][str(CASE)]["decision"] == "accept"
    assert as_("reviewer").get("/quality/ms-1/review").json() == shown


def test_a_decision_is_taken_back(as_: Any, cohort: CohortFolder) -> None:
    as_("reviewer").post("/quality/ms-1/review", json=ACCEPT, headers=OURS)
    answer = as_("reviewer").post("/quality/ms-1/review", json=ACCEPT | {"decision": None}, headers=OURS)
    assert answer.json()["cases"] == {}


@pytest.mark.parametrize("name", ["staff", "viewer"])
def test_others_look_and_do_not_decide(as_: Any, cohort: CohortFolder, name: str) -> None:
    shown = as_(name).get("/quality/ms-1/review").json()
    assert (shown["may"], shown["cases"]) == (False, {})
    assert "a reviewer of this site decides" in shown["why"]
    for asked in (ACCEPT, ACCEPT | {"decision": None}):
        assert as_(name).post("/quality/ms-1/review", json=asked, headers=OURS).status_code == 403
    assert not review_file(cohort).exists()


def test_who_reviews_is_a_setting(as_: Any, cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KONSIL_REVIEWERS", "dr-weber, dr-novak")
    assert as_("dr-novak").post("/quality/ms-1/review", json=ACCEPT, headers=OURS).status_code == 200
    assert as_("reviewer").post("/quality/ms-1/review", json=ACCEPT, headers=OURS).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Konsil-Review": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Konsil-Review": "1", "Sec-Fetch-Site": "same-site"},
        {"X-Konsil-Review": "1", "Origin": "http://evil.example"},
        {"X-Konsil-Review": "1", "Origin": "null"},
    ],
)
def test_other_sites_cannot_decide_for_somebody_logged_in(
    as_: Any, cohort: CohortFolder, headers: dict[str, str]
) -> None:
    assert as_("reviewer").post("/quality/ms-1/review", json=ACCEPT, headers=headers).status_code == 403
    assert not review_file(cohort).exists()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"seen": "b" * 64}, 409, "has changed since it was opened"),
        ({"case": "sub-2_ses-1"}, 409, "no page"),
        ({"case": "../../x"}, 409, "not the name of a case"),
        ({"decision": "exclude"}, 400, "needs an artifact or a note"),
        ({"decision": "perhaps"}, 400, "accept"),
        ({"note": {"a": 1}}, 400, "string"),
    ],
)
def test_what_cannot_be_decided_is_a_sentence(
    as_: Any, cohort: CohortFolder, change: dict[str, Any], status: int, words: str
) -> None:
    answer = as_("reviewer").post("/quality/ms-1/review", json=ACCEPT | change, headers=OURS)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert read_reviews(cohort) == {}


def test_a_decision_on_older_images_is_shown_as_outdated(as_: Any, cohort: CohortFolder) -> None:
    as_("reviewer").post("/quality/ms-1/review", json=ACCEPT, headers=OURS)
    write_bytes(cohort.report(CASE), f'{SEEN}{"b" * 64}">'.encode())
    assert as_("reviewer").get("/quality/ms-1/review").json()["cases"][str(CASE)]["outdated"] is True


def test_a_frozen_cohort_is_looked_at_only(as_: Any, cohort: CohortFolder) -> None:
    write_json(cohort.frozen, {})
    shown = as_("reviewer").get("/quality/ms-1/review").json()
    assert (shown["may"], shown["why"]) == (False, "This cohort is signed and frozen.")
    assert as_("reviewer").post("/quality/ms-1/review", json=ACCEPT, headers=OURS).status_code == 409
