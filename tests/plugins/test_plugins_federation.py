"""A run is seen as it stands, from both sides; words are said by whom Airflow lets, in their name, from our pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import Unavailable
from konsil.federation.control import Action
from konsil.parties.opening import open_party
from konsil.parties.standing import standing
from konsil.parties.steering import steer
from konsil.storage.folder import FolderStore
from konsil.trust.audit import Audit
from konsil.trust.roster import bucket_of
from plugins.live import live
from tests.plugins.stage import CASES, LONG, PILOT, Town, busy_town, pilot
from tests.plugins.visitors import OURS, SCRIPT, Person, visits


class Manager:
    """Viewers may not edit DAGs; a question is answered by those it names."""

    def is_authorized_dag(self, *, method: str, details: Any, user: Person, **rest: Any) -> bool:
        assert (method, details.id in ("run_federation", "join_federation"), rest) == ("PUT", True, {})
        return user.name != "viewer"

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Person) -> bool:
        return user.name in assigned_users


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return busy_town(tmp_path_factory.mktemp("town"))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`at(home, name)`: the tabs of a place as an account sees them."""
    yield visits(monkeypatch, Manager, "operator")
    live.cache_clear()


def seen(town: Town, place: str, run: str = LONG) -> Any:
    return standing(open_party(town.home(place), run))


def states(picture: Any, number: int) -> dict[str, str]:
    row = next(row for row in picture["table"] if row["round"] == number)
    return {site: cell["state"] for site, cell in row["cells"].items()}


def test_the_centre_sees_what_became_of_every_site_in_every_round(town: Town) -> None:
    picture = seen(town, "centre")
    assert picture["state"] == "running"
    assert picture["turn"]["doing"] == "Waiting for the updates of C in round 10 of 20."
    assert picture["turn"]["until"] > picture["now"]
    assert {site["name"]: (site["state"], site["why"]) for site in picture["sites"]} == {
        "A": ("sent", ""),
        "B": ("left", "scanner replaced"),
        "C": ("working", ""),
        "D": ("silent", ""),
        "E": ("refused", "Our ethics board has not agreed to this label yet."),
        "F": ("excluded", "labels are shifted by one slice"),
    }
    assert [states(picture, number)["D"] for number in (2, 3, 7, 10)] == ["averaged", "refused", "missed", "silent"]
    assert states(picture, 5)["F"] == "excluded"
    assert "not finite" in picture["table"][-3]["cells"]["D"]["why"]


def test_figures_of_a_round_are_those_of_its_messages(town: Town) -> None:
    party = open_party(town.home("centre"), LONG)
    picture = standing(party)
    row = next(row for row in picture["table"] if row["round"] == 2)
    cell = row["cells"]["A"]
    letter = next(one for slot, one in party.letters.items() if slot.place == "rounds/0002/updates/A")
    assert (cell["up_bytes"], cell["cases"]) == (letter.manifest.payload_size, 42)
    assert cell["metrics"] == letter.manifest.facts["metrics"]
    assert cell["work_s"] == 660.0
    assert cell["work_s"] + cell["waited_s"] == pytest.approx(row["seconds"], abs=30)
    assert row["down_bytes"] > 200_000


def test_a_site_sees_its_own_figures_and_of_the_others_what_the_models_say(town: Town) -> None:
    picture = seen(town, "A")
    assert picture["turn"]["doing"] == "Waiting for the global model of round 10 of 20."
    assert picture["turn"]["until"] == seen(town, "centre")["turn"]["until"], "the charter fixes the time of a round"
    row = next(row for row in picture["table"] if row["round"] == 9)
    assert row["cells"]["A"]["metrics"]["dice"] > 0
    assert (row["cells"]["C"]["state"], row["cells"]["C"]["cases"], row["cells"]["C"]["metrics"]) == (
        "averaged",
        65,
        {},
    )
    assert states(picture, 10)["C"] == "unknown"
    assert [site["last"] for site in picture["sites"]][1:] == [None] * 5


def test_after_the_release_a_site_sees_everybodys_figures(town: Town) -> None:
    picture = seen(town, "A", PILOT)
    assert picture["state"] == "finished"
    assert all(cell["metrics"]["dice"] > 0 for row in picture["table"] for cell in row["cells"].values())
    assert picture["rounds"]["ends"] is None


def test_the_end_is_reckoned_from_the_last_rounds(town: Town) -> None:
    picture = seen(town, "centre")
    assert picture["rounds"]["median_s"] == pytest.approx(1027, abs=60)
    assert picture["rounds"]["ends"] > picture["turn"]["until"]
    assert seen(town, "centre", "site-effects-2026")["rounds"]["ends"] is None, "a paused run has no end to tell"


def test_the_list_tells_every_run_apart(town: Town, at: Any) -> None:
    page = at(town.home("centre")).get("/federation").text
    for words in ("running", "paused", "aborted", "finished", "in preparation", "maintenance until Monday"):
        assert words in page
    assert "wrong channel order" in page
    assert f'href="federation/{LONG}/now.html"' in page
    assert f'href="federation/{PILOT}/report.html"' in page
    assert "waits for the custodian" in at(town.home("A")).get("/federation").text


def test_the_page_and_its_refresh_say_the_same(town: Town, at: Any) -> None:
    client = at(town.home("centre"))
    page, content = client.get(f"/federation/{LONG}/now.html").text, client.get(f"/federation/{LONG}/now").json()
    assert content["parts"]["rounds"] in page
    assert content["may"]["exclude"] == ["A", "C", "D", "E"]
    assert "Our ethics board" in content["parts"]["sites"]
    assert "<polyline" in content["parts"]["curves"]


def test_who_may_not_edit_the_dag_only_looks(town: Town, at: Any) -> None:
    for place in ("centre", "A"):
        client = at(town.home(place), "viewer")
        assert client.get(f"/federation/{LONG}/now").json()["may"] == {}
        assert "<button data-word" not in client.get(f"/federation/{LONG}/now.html").text
        for word in ("pause", "abort", "leave", "hold"):
            answer = client.post(f"/federation/{LONG}/words", json={"word": word, "why": "x"}, headers=OURS)
            assert answer.status_code == 403
    assert seen(town, "centre")["state"] == "running"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Konsil-Word": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Konsil-Word": "1", "Sec-Fetch-Site": "same-site"},
        {"X-Konsil-Word": "1", "Origin": "http://evil.example"},
    ],
)
def test_other_pages_steer_nothing(town: Town, at: Any, headers: dict[str, str]) -> None:
    answer = at(town.home("centre")).post(f"/federation/{LONG}/words", json={"word": "pause"}, headers=headers)
    assert answer.status_code == 403
    assert seen(town, "centre")["state"] == "running"


@pytest.mark.parametrize(
    ("place", "asked", "status", "words"),
    [
        ("centre", {"word": "abort"}, 409, "A reason is missing"),
        ("centre", {"word": "exclude", "site": "F", "why": "again"}, 409, "cannot be excluded"),
        ("centre", {"word": "exclude", "site": "", "why": "x"}, 409, "cannot be excluded"),
        ("centre", {"word": "extend", "rounds": 3}, 409, "cannot be extended"),
        ("centre", {"word": "extend", "rounds": "3"}, 400, "whole number"),
        ("centre", {"word": "pause", "why": "a\nb"}, 409, "one line"),
        ("centre", {"word": "leave"}, 400, "no such word"),
        ("A", {"word": "abort", "why": "x"}, 400, "no such word"),
        ("A", {"word": "go_on"}, 409, "has not paused"),
        ("E", {"word": "leave"}, 409, "does not take part"),
    ],
)
def test_a_word_that_cannot_be_said_is_a_sentence(
    town: Town, at: Any, place: str, asked: Any, status: int, words: str
) -> None:
    who = "operator" if place == "centre" else "custodian"
    answer = at(town.home(place), who).post(f"/federation/{LONG}/words", json=asked, headers=OURS)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_pausing_and_going_on_are_recorded_with_the_name(town: Town, at: Any) -> None:
    client = at(town.home("centre"), "dr-weber")
    paused = client.post(f"/federation/{LONG}/words", json={"word": "pause", "why": "servers move"}, headers=OURS)
    assert (paused.json()["state"], paused.json()["may"]["pause"]) == ("paused", False)
    assert "servers move" in paused.json()["parts"]["standing"]
    assert client.post(f"/federation/{LONG}/words", json={"word": "resume"}, headers=OURS).json()["state"] == "running"
    log = Audit(town.home("centre") / "audit.jsonl").entries()
    said = [entry["facts"] for entry in log if entry["event"] == "operator"]
    assert [(facts["action"], facts["by"]) for facts in said] == [("pause", "dr-weber"), ("resume", "dr-weber")]


def test_a_site_pauses_its_own_part_and_leaves(tmp_path: Path, at: Any) -> None:
    town = Town(tmp_path, sites=("A", "B", "C"))
    town.propose(PILOT, rounds=2)
    for site in "ABC":
        town.decide(PILOT, site)
    town.rounds(PILOT, 1, *"ABC")
    client = at(town.home("A"), "custodian")
    held = client.post(f"/federation/{PILOT}/words", json={"word": "hold", "why": SCRIPT}, headers=OURS).json()
    assert (held["state"], held["may"]) == ("held", {"leave": True, "hold": False, "go_on": True})
    assert "&lt;script&gt;" in held["parts"]["standing"]
    assert "<script" not in held["parts"]["standing"] + held["parts"]["words"]
    town.work(PILOT, "A")
    assert not list((tmp_path / "store").glob("*/pilot-2026/rounds/0002/updates/A/*")), "a paused site trains nothing"
    client.post(f"/federation/{PILOT}/words", json={"word": "go_on"}, headers=OURS)
    town.work(PILOT, "A")
    assert list((tmp_path / "store").glob("*/pilot-2026/rounds/0002/updates/A/*"))
    gone = client.post(f"/federation/{PILOT}/words", json={"word": "leave", "why": "enough"}, headers=OURS).json()
    assert gone["state"] == "out"
    log = list(Audit(town.home("A") / "audit.jsonl").entries())
    told = [(entry["event"], entry["facts"]["by"]) for entry in log if "by" in entry["facts"]]
    assert told[-3:] == [("site paused", "custodian"), ("site went on", "custodian"), ("left", "custodian")]


def test_who_is_no_custodian_pauses_here_and_does_not_leave(tmp_path: Path, at: Any) -> None:
    town = Town(tmp_path, sites=("A", "B"))
    town.propose(PILOT, rounds=2)
    for site in "AB":
        town.decide(PILOT, site)
    client = at(town.home("A"), "staff")
    assert client.get(f"/federation/{PILOT}/now").json()["may"] == {"leave": False, "hold": True, "go_on": False}
    answer = client.post(f"/federation/{PILOT}/words", json={"word": "leave", "why": "enough"}, headers=OURS)
    assert (answer.status_code, "a custodian of this site decides" in answer.json()["detail"]) == (403, True)
    assert not list((tmp_path / "store").rglob("leave*")), "nothing was sent"
    held = client.post(f"/federation/{PILOT}/words", json={"word": "hold", "why": "night"}, headers=OURS).json()
    assert held["state"] == "held"


def test_free_texts_of_others_cannot_do_anything(tmp_path: Path, at: Any) -> None:
    """Title and reasons come from outside; they are shown, letter by letter."""
    town = Town(tmp_path, sites=("A", "B"))
    town.propose(PILOT, title=SCRIPT, rounds=2)
    town.decide(PILOT, "A")
    town.decide(PILOT, "B", SCRIPT)
    steer(town.home("centre"), PILOT, Action.PAUSE, why=SCRIPT)
    for place in ("centre", "A"):
        client = at(town.home(place))
        pages = [client.get("/federation").text, client.get(f"/federation/{PILOT}/now.html").text]
        pages += client.get(f"/federation/{PILOT}/now").json()["parts"].values()
        assert not any("<script>alert" in page or "<img" in page for page in pages)
        assert all("&lt;script&gt;alert(1)" in page for page in pages[:2])


def test_a_store_that_is_away_leaves_the_last_picture(tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugins import live as module

    town = Town(tmp_path, sites=("A", "B", "C"))
    pilot(town)
    client = at(town.home("centre"))
    before = client.get(f"/federation/{PILOT}/now").json()

    def away(party: Any) -> Any:
        raise Unavailable("The store does not answer")

    monkeypatch.setattr(module, "standing", away)
    live(town.home("centre")).forget(PILOT)
    after = client.get(f"/federation/{PILOT}/now").json()
    assert "The store does not answer" in after["parts"]["standing"]
    assert after["parts"]["rounds"] == before["parts"]["rounds"]


@pytest.mark.parametrize(
    ("place", "owners", "fetched"),
    [("centre", ["centre", *CASES], [("get", bucket_of("E"))]), ("A", ["centre", "A"], [])],
)
def test_a_look_lists_every_bucket_once_and_fetches_no_message_but_the_reason_of_a_refusal(
    town: Town, place: str, owners: list[str], fetched: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def noting(verb: str) -> Any:
        do = getattr(FolderStore, verb)

        def noted(self: FolderStore, bucket: str, key: str = "") -> Any:
            if not key.startswith("_konsil/keys/"):  # new keys are looked for once a minute
                asked.append((verb, bucket))
            return do(self, bucket, key)

        return noted

    party = open_party(town.home(place), LONG)
    first = standing(party)
    for verb in ("list", "folders", "stat", "get"):
        monkeypatch.setattr(FolderStore, verb, noting(verb))
    again = standing(party)
    assert sorted(asked) == fetched + [("list", bucket) for bucket in sorted(map(bucket_of, owners))]
    assert again["rounds"]["done"] == first["rounds"]["done"] == 9


def test_pictures_of_the_runs_looked_at_last_are_kept_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plugins import live as module

    drawn: list[str] = []
    monkeypatch.setattr(module, "open_party", lambda home, run: run)
    monkeypatch.setattr(module, "standing", lambda run: drawn.append(run) or {"run": run})
    monkeypatch.setattr(module, "KEPT", 2)
    looker = module.Live(tmp_path)
    for run in ("one", "two", "one", "three", "three", "two", "one"):
        assert looker.at(run) == {"run": run}
    assert drawn == ["one", "two", "three", "one"], "'one' was looked at first and had to go for 'three'"


@pytest.mark.parametrize("run", ["..", "nothing-here", "..%2f..%2fkeys", "RUN"])
def test_no_name_of_a_run_leads_anywhere(town: Town, at: Any, run: str) -> None:
    for ending in ("now.html", "now"):
        assert at(town.home("centre")).get(f"/federation/{run}/{ending}").status_code == 404


def test_a_run_whose_charter_has_not_come_says_so(town: Town, at: Any) -> None:
    (town.home("A") / "runs" / "not-yet").mkdir(exist_ok=True)
    assert "has not arrived" in at(town.home("A")).get("/federation/not-yet/now.html").text
