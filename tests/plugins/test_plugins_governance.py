"""What a custodian reads about charters, policies and the log; only a custodian ends a policy, from our own pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from konsil.parties.decision import proposal
from konsil.parties.dossier import dossier
from konsil.parties.policies import policies
from plugins.drawing import render
from plugins.live import live
from tests.plugins.stage import PILOT, Town, pilot, policies_at
from tests.plugins.visitors import OURS, SCRIPT, Person, visits

NEXT = "next-2026"


class Manager:
    def is_authorized_dag(self, **asked: Any) -> bool:
        return True

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Person) -> bool:
        return user.name in assigned_users


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A pilot that was released, and a charter that waits: more rounds, the best one, and a wicked title."""
    town = Town(tmp_path_factory.mktemp("town"), sites=("A", "B", "C"))
    pilot(town)
    town.propose(NEXT, title=SCRIPT, rounds=7, sites=["A", "B"], best_round={"release": "best"})
    town.party(NEXT, "A").next()
    town.decide(NEXT, "B", SCRIPT)
    return town


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`at(home, name)`: the tabs of a place as an account sees them."""
    yield visits(monkeypatch, Manager, "custodian")
    live.cache_clear()


def test_a_charter_is_compared_with_the_last_one_accepted(town: Town) -> None:
    found = dossier(town.home("A"), NEXT)
    assert found["before"]["run"] == PILOT
    told = {change["field"]: (change["before"], change["now"]) for change in found["changes"]}
    assert told["rounds"] == (2, 7)
    assert told["sites"] == (["A", "B", "C"], ["A", "B"])
    assert "learner.name" not in told
    assert dossier(town.home("A"), PILOT)["before"] is None


def test_the_page_says_whether_the_learner_was_reviewed_and_what_its_author_says(town: Town, at: Any) -> None:
    page = at(town.home("A")).get(f"/governance/{NEXT}/charter.html").text
    assert "Not reviewed: the charter brings no reviewed workflow." in page
    asked = proposal(town.home("A"), NEXT)
    asked["review"] = {"words": f"Reviewed by {SCRIPT}.", "refusal": "", "lasting": False}
    told = {"name": "nnunet-ms@1.2", "author": "Lee", "tested": ["Phantoms"], "card": SCRIPT}
    page = render("charter.html.j2", c=asked | {"workflow": told, "objects": [], "before": None, "decided": None})
    assert "nnunet-ms@1.2" in page
    assert page.count("&lt;script&gt;alert(1)") == 4  # the title, which stands there twice, is wicked as well
    assert "<script>alert" not in page


def test_objects_are_counted_as_they_lie_in_the_bucket(town: Town) -> None:
    rows = {row["kind"]: row for row in dossier(town.home("A"), PILOT)["objects"]}
    assert list(rows) == ["answer", "fingerprint", "update", "evaluation"]
    lying = list((town.root / "store").glob(f"site-a/{PILOT}/rounds/*/updates/A/payload-*"))
    assert (rows["update"]["count"], rows["update"]["bytes"]) == (2, sum(path.stat().st_size for path in lying))
    assert '"loss"' in rows["update"]["example"]
    assert "w [60000] F32" in rows["update"]["example"]
    assert '"cases": 42' in rows["fingerprint"]["example"]


def test_before_anything_left_the_example_is_of_an_earlier_run(town: Town) -> None:
    rows = {row["kind"]: row for row in dossier(town.home("A"), NEXT)["objects"]}
    assert (rows["update"]["count"], rows["update"]["expected"], rows["update"]["of"]) == (0, 7, PILOT)


def test_free_texts_cannot_do_anything(town: Town, at: Any) -> None:
    for place, run in (("A", NEXT), ("B", NEXT)):
        client = at(town.home(place))
        pages = [client.get(path).text for path in ("/governance", f"/governance/{run}/charter.html")]
        pages.append(client.get("/governance/audit.html").text)
        assert not any("<script>alert" in page or "<img" in page for page in pages)
        assert all("&lt;script&gt;alert(1)" in page for page in pages[: 3 if place == "B" else 2])


def test_the_log_is_verified_where_it_is_shown(town: Town, at: Any, tmp_path: Path) -> None:
    client = at(town.home("C"))
    assert "chain unbroken" in client.get("/governance").text
    assert "published heads fit" in client.get("/governance/audit.html?published=true").text
    log = town.home("C") / "audit.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"charter accepted", b"charter refused!", 1))
    try:
        assert "does not fit from line" in client.get("/governance").text
        assert "this entry was edited" in client.get("/governance/audit.html").text
    finally:
        log.write_bytes(whole)


def test_settings_and_recipients_read_like_words(town: Town, at: Any) -> None:
    client = at(town.home("A"))
    log = client.get("/governance/audit.html").text
    assert "A, centre" in log
    assert "[" not in log.split("<tbody>")[1]
    asked = proposal(town.home("A"), NEXT) | {"settings": [["mirroring", "no"], ["network: patch size", "32 × 32"]]}
    page = render("charter.html.j2", c=asked | {"workflow": None, "objects": [], "before": None, "decided": None})
    assert "network: patch size: <b>32 × 32</b>" in page


def test_only_a_custodian_ends_a_policy_and_in_their_name(town: Town, at: Any) -> None:
    home = town.home("B")
    assert "None. Every charter asks a custodian." in at(home).get("/governance").text
    policies_at(town, "B")
    assert at(home).get("/governance").text.count("data-policy=") == 1
    assert "data-policy=" not in at(home, "staff").get("/governance").text
    address = "/governance/policies/small-pilots/revoke"
    assert at(home, "staff").post(address, json={}, headers=OURS).status_code == 403
    assert at(home).post(address, json={}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 403
    assert at(home).post("/governance/policies/nothing/revoke", json={}, headers=OURS).status_code == 409
    assert {one.name: one.state for one in policies(home)}["small-pilots"] == "counts"
    assert at(home).post(address, json={"why": "over"}, headers=OURS).json()["state"] == "revoked"
    why = next(one.why for one in policies(home) if one.name == "small-pilots")
    assert why.startswith("over (custodian")


def test_the_centre_has_nothing_to_govern(town: Town, at: Any) -> None:
    assert "belongs to a site" in at(town.home("centre")).get("/governance").text


@pytest.mark.parametrize("run", ["..", "nothing-here", "..%2f..%2fkeys"])
def test_no_name_leads_anywhere(town: Town, at: Any, run: str) -> None:
    assert at(town.home("A")).get(f"/governance/{run}/charter.html").status_code == 404
