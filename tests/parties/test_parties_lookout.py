"""One lookout answers for all runs of a home, and opens a run only when something has changed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from konsil.errors import Unavailable
from konsil.federation.control import Action
from konsil.parties import lookout as room
from konsil.parties.lookout import Lookout
from konsil.parties.site import SiteParty
from konsil.parties.steering import steer
from konsil.storage.folder import FolderStore


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the rules were asked, manifests were fetched, and buckets were listed."""
    counted: Counter[str] = Counter()
    for name in ("get", "list"):
        honest = getattr(FolderStore, name)

        def watched(*args: Any, honest: Any = honest, name: str = name, **named: Any) -> Any:
            counted[name] += 1
            return honest(*args, **named)

        monkeypatch.setattr(FolderStore, name, watched)
    return counted


def test_it_says_what_the_rules_say_all_the_way(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled(rounds=2)
    watchers = {name: Lookout(world.home(name)) for name in world.names}
    while True:
        steps = {name: world.party(name).next() for name in world.names}
        for name, step in steps.items():
            waits = type(step).__name__ == "Wait"
            assert watchers[name].ready("lines-1") is not waits, f"{name}: {step}"
            assert watchers[name].ready("lines-1", step.phase) is not waits
            assert watchers[name].ready("lines-1", "release") is (not waits and step.phase == "release")
        moving = [name for name, step in steps.items() if type(step).__name__ not in ("Wait", "Finish")]
        if not moving:
            return
        world.party(moving[0]).step()


def test_a_quiet_run_costs_a_site_one_listing(make_enrolled: Callable[..., Any], opened: Counter[str]) -> None:
    world = make_enrolled()
    world.work_until(lambda: world.newest() == 1)
    world.work("A")
    watcher = Lookout(world.home("A"))
    assert not watcher.ready("lines-1")
    opened.clear()
    for _ in range(5):
        assert not watcher.ready("lines-1")
    assert opened == {"list": 5}
    world.work("B", "C", "centre")
    assert watcher.ready("lines-1")


def test_what_is_posted_from_this_home_and_what_the_operator_says_is_seen(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.work_until(lambda: world.newest() == 1)
    watcher = Lookout(world.home("A"))
    assert watcher.ready("lines-1")
    steer(world.home("centre"), "lines-1", Action.PAUSE, why="a meeting")
    assert not watcher.ready("lines-1")
    steer(world.home("centre"), "lines-1", Action.RESUME)
    assert watcher.ready("lines-1")


def test_an_extension_is_told_until_it_has_ended(
    make_enrolled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOKS_PER_WAIT", 1e9)
    world = make_enrolled(rounds=1, extra_rounds=3)
    watchers = {name: Lookout(world.home(name)) for name in world.names}

    def told() -> set[tuple[tuple[str, int], ...]]:
        return {tuple(watcher.extensions()) for watcher in watchers.values()}

    world.work_until(lambda: world.newest() == 1)
    assert told() == {()}, "the charter's own rounds are no extension"
    for after in (1, 2):
        world.work()
        assert told() == {()}, "nothing is left to do"
        steer(world.home("centre"), "lines-1", Action.EXTEND, rounds=1)
        assert told() == {(("lines-1", after),)}
        world.work("A", "B")
        assert told() == {(("lines-1", after),)}, "also while one waits for the others"


def test_a_run_that_cannot_be_extended_is_not_looked_at_again(
    make_enrolled: Callable[..., Any], opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOKS_PER_WAIT", 1e9)
    world = make_enrolled(rounds=1)
    world.work_until(lambda: world.newest() == 1)
    (world.home("A") / "runs" / "not a run").mkdir()
    watcher = Lookout(world.home("A"))
    assert watcher.extensions() == []
    opened.clear()
    assert watcher.extensions() == []
    assert not opened


def test_a_decision_in_the_home_is_seen(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    ledger = world.party("A").ledger
    decision = ledger.folder / "decision.json"
    kept = decision.read_bytes()
    decision.unlink()
    world.party("centre").step()
    watcher = Lookout(world.home("A"))
    assert not watcher.ready("lines-1")
    decision.write_bytes(kept)
    assert watcher.ready("lines-1")


def test_a_deadline_wakes_although_nothing_was_posted(
    make_enrolled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_enrolled(deadlines={"answer_s": 60}, quorum={"sites": 2})
    world.party("centre").step()
    world.work("A", "B")
    watcher = Lookout(world.home("centre"))
    monkeypatch.setattr(FolderStore, "now", lambda store, now=FolderStore.now: now(store) + world.store.shift)
    for _ in range(2):  # what it has just received is news to it once more
        assert not watcher.ready("lines-1"), "C has not answered"
    world.pass_time(61)
    assert not watcher.ready("lines-1"), "by this machine's clock the deadline has not come"
    passed = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: passed)
    assert watcher.ready("lines-1"), "two are enough for the recipe"


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, float], None]:
    """`clocks(world, seconds)`: the store's clock and this machine's are so far ahead, whatever is written from now."""
    honest_now, honest_put, began = FolderStore.now, FolderStore.put, time.monotonic()

    def put(store: FolderStore, bucket: str, key: str, *rest: Any) -> None:
        honest_put(store, bucket, key, *rest)
        os.utime(store.path / bucket / key, times=(store.now().timestamp(),) * 2)

    def ahead(world: Any, seconds: float) -> None:
        world.store.shift = timedelta(seconds=seconds)
        monkeypatch.setattr(FolderStore, "now", lambda store: honest_now(store) + timedelta(seconds=seconds))
        monkeypatch.setattr(FolderStore, "put", put)
        monkeypatch.setattr(time, "monotonic", lambda: began + seconds)

    return ahead


def waiting_for_a_required_site(
    make_enrolled: Callable[..., Any], **deadlines: float
) -> tuple[Any, dict[str, Lookout]]:
    """Round 2 of 3: B is needed and did not come."""
    quorum = {"sites": 2, "required": ["B"]}
    world = make_enrolled(compare_with_local=False, quorum=quorum, deadlines=deadlines)
    world.work_until(lambda: world.newest() == 1)
    world.work("centre", "A", "C")
    watchers = {name: Lookout(world.home(name)) for name in ("centre", "A", "C")}
    assert not any(watcher.ready("lines-1") for watcher in watchers.values())
    return world, watchers


@pytest.mark.parametrize("deadlines", [{"round_s": 600}, {}], ids=["told", "by the pace"])
def test_a_required_site_that_comes_after_the_deadline_is_averaged_and_wakes_the_others(
    make_enrolled: Callable[..., Any],
    clocks: Callable[[Any, float], None],
    deadlines: dict[str, float],
) -> None:
    world, watchers = waiting_for_a_required_site(make_enrolled, **deadlines)
    clocks(world, 800)
    assert not any(watcher.ready("lines-1") for watcher in watchers.values()), "it is waited for longer"
    world.party("B").step()
    assert watchers["centre"].ready("lines-1", "rounds")
    world.party("centre").step()
    assert all(watchers[site].ready("lines-1", "rounds") for site in "AC")
    assert {type(step).__name__ for step in world.work().values()} == {"Finish"}
    assert world.summary()["sentence"] == "Finished: 3 rounds with all 3 sites (A, B, C)."


def test_a_required_site_that_never_comes_ends_the_run_for_everybody(
    make_enrolled: Callable[..., Any], clocks: Callable[[Any, float], None]
) -> None:
    world, watchers = waiting_for_a_required_site(make_enrolled, round_s=600)
    for seconds, is_over in ((700, False), (1000, False), (1300, True)):
        clocks(world, seconds)
        assert watchers["centre"].ready("lines-1", "release") is is_over, f"after {seconds} s"
    assert type(world.party("centre").step()).__name__ == "Abort"
    assert all(watchers[site].ready("lines-1", "release") for site in "AC")
    assert {type(step).__name__ for step in world.work().values()} == {"Abort"}
    assert world.summary("A")["sentence"] == (
        "Aborted after 1 round: Round 2 of 3 stayed below the quorum: required and absent: B."
    )


def test_what_was_refused_is_looked_at_again_after_a_minute(
    make_enrolled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, clock = make_enrolled(), [1000.0]
    world.work_until(lambda: world.newest() == 1)
    world.work("A")
    world.store.put("global", "lines-1/rounds/0002/global/rubbish", b"?")
    watcher = Lookout(world.home("A"))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    asked = Counter[str]()
    honest = SiteParty.next
    monkeypatch.setattr(SiteParty, "next", lambda party: asked.update(["next"]) or honest(party))
    for clock[0] in (1000.0, 1030.0, 1059.0, 1061.0):
        assert not watcher.ready("lines-1")
    assert asked["next"] == 2, "at once, and after a minute"


def test_a_run_is_quiet_since_its_last_message_whoever_posted_it(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    watcher, start = Lookout(world.home("A")), time.time()
    assert watcher.quiet_s("never-heard-of", start - 100) == pytest.approx(100, abs=5)
    world.work_until(lambda: world.newest() == 1)
    assert watcher.quiet_s("lines-1", start - 100) < 5


def test_a_store_that_is_away_is_asked_once_for_all(
    make_enrolled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, asked = make_enrolled(), [0]

    def away(*args: Any) -> None:
        asked[0] += 1
        raise Unavailable("the store does not answer")

    watcher = Lookout(world.home("A"))
    with monkeypatch.context() as broken:
        broken.setattr(FolderStore, "list", away)
        for _ in range(100):
            with pytest.raises(Unavailable):
                watcher.ready("lines-1")
    assert asked == [1]
    monkeypatch.setattr(room, "DOWN_S", 0.0)
    watcher = Lookout(world.home("A"))
    with monkeypatch.context() as broken:
        broken.setattr(FolderStore, "list", away)
        with pytest.raises(Unavailable):
            watcher.ready("lines-1")
    world.party("centre").step()
    assert watcher.ready("lines-1"), "it goes on by itself once the store is there again"


def test_charters_of_others_and_old_ones_are_not_asked_again_and_again(
    make_enrolled: Callable[..., Any], opened: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_enrolled(sites=["A", "B"])
    (world.party("A").ledger.folder / "decision.json").unlink()
    world.party("centre").step()
    watcher, clock = Lookout(world.home("A")), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert watcher.addressed_charters() == ["lines-1"]
    clock[0] = 1600.0
    assert watcher.addressed_charters() == ["lines-1"]
    opened.clear()
    clock[0] = 1699.0
    assert watcher.addressed_charters() == ["lines-1"]
    assert opened == {}, "a charter that has waited for half an hour is looked at every hundred seconds"
    world.party("A").ledger.decide(accepted=True, by="custodian", cohort="aa")
    clock[0] = 1701.0
    assert watcher.addressed_charters() == []
    opened.clear()
    clock[0] = 10**7
    assert watcher.addressed_charters() == []
    assert opened == {}, "what was decided on once is never asked for again"
