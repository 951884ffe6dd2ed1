"""A stint stops for one of four reasons, and waits only as long as it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from konsil.errors import Unavailable
from konsil.federation.control import Action
from konsil.federation.steps import Phase
from konsil.parties.loop import Clock, Pauses, go_on
from konsil.parties.steering import steer


class Fake:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time, self.pauses = 0.0, list[float]()

    def clock(self, meanwhile: Callable[[], object] = lambda: None) -> Clock:
        def sleep(seconds: float) -> None:
            self.time += seconds
            self.pauses.append(seconds)
            meanwhile()

        return Clock(lambda: self.time, sleep)


def test_a_stint_ends_when_its_phase_is_behind_it(make_world: Callable[..., Any]) -> None:
    world, fake = make_world(), Fake()
    ending = go_on(world.party("centre"), until=Phase.CHARTER, clock=fake.clock())
    assert (ending.state, ending.phase, fake.pauses) == ("done", Phase.ANSWERS, [])


def test_no_deed_of_a_later_phase_is_done(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work("centre")
    assert go_on(world.party("A"), until=Phase.ANSWERS, patience_s=0).state == "done"
    assert not list(world.store.path.rglob("fingerprints/*"))


def test_without_patience_a_stint_ends_at_once(make_world: Callable[..., Any]) -> None:
    fake = Fake()
    ending = go_on(make_world().party("centre"), patience_s=0, clock=fake.clock())
    assert ending.as_json() == {
        "state": "waiting",
        "sentence": "Waiting for the answers of A, B, C.",
        "round": None,
        "phase": "answers",
        "held": False,
    }
    assert fake.pauses == []


def test_pauses_grow_to_the_longest_and_keep_within_the_patience(make_world: Callable[..., Any]) -> None:
    fake = Fake()
    go_on(make_world().party("centre"), patience_s=10, poll_s=1, clock=fake.clock())
    assert fake.pauses[:9] == pytest.approx([0.05] * 9)  # an eighth of 0.4 s
    waits = [sum(fake.pauses[:place]) for place in range(len(fake.pauses) - 1)]
    assert fake.pauses[9:-1] == pytest.approx([min(1, waited / 8) for waited in waits[9:]])
    assert max(fake.pauses) == 1
    assert fake.time == pytest.approx(10)


def test_a_look_that_takes_long_is_made_less_often(make_world: Callable[..., Any]) -> None:
    world, fake = make_world(), Fake()
    party = world.party("centre")
    look = party.next

    def slow() -> Any:
        fake.time += 0.5
        return look()

    party.next = slow
    go_on(party, patience_s=10, poll_s=0.25, clock=fake.clock())
    assert fake.pauses[:5] == pytest.approx([1.0] * 5)


def looks(pauses: Pauses, lasts: float) -> list[float]:
    """When a wait of the rounds that takes `lasts` seconds is looked at; the last look finds what came."""
    at = [0.0]
    while at[-1] < lasts:
        at.append(at[-1] + pauses.after(at[-1], Phase.ROUNDS))
    pauses.over()
    return at


def test_a_wait_that_takes_its_usual_time_is_noticed_at_once_by_few_looks() -> None:
    pauses = Pauses()
    unknown = looks(pauses, 4.0)
    again = looks(pauses, 4.0)
    assert len(again) < len(unknown) * 0.6
    assert again[-1] - 4.0 <= 0.05
    assert looks(pauses, 6.0)[-1] - 6.0 <= 0.3  # longer than usual: an eighth of what it took longer
    assert looks(pauses, 3.0)[-1] - 3.0 <= 1.0  # shorter: a third of what would have been left
    assert pauses.after(0.0, Phase.EVALUATION) == 0.05  # nothing is known of another phase


def test_a_warm_centre_goes_through_a_whole_federation_in_one_stint(make_world: Callable[..., Any]) -> None:
    world, fake = make_world(rounds=2), Fake()
    ending = go_on(world.party("centre"), patience_s=5, clock=fake.clock(lambda: world.work("A", "B", "C")))
    assert (ending.state, ending.sentence) == ("finished", "Finished: 2 rounds with all 3 sites (A, B, C).")


def test_a_waiting_stint_names_its_round(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    ending = go_on(world.party("centre"), until=Phase.ROUNDS, patience_s=0)
    assert (ending.state, ending.round) == ("waiting", 2)


def test_a_paused_run_is_held_and_one_that_waits_for_others_is_not(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.party("centre").step()
    assert go_on(world.party("A"), until=Phase.ANSWERS, patience_s=0).state == "done"
    steer(world.home("centre"), "lines-1", Action.PAUSE, why="a meeting")
    ending = go_on(world.party("A"), until=Phase.RECIPE, patience_s=0)
    assert (ending.state, ending.held) == ("waiting", True)
    steer(world.home("centre"), "lines-1", Action.RESUME)
    ending = go_on(world.party("A"), until=Phase.RECIPE, patience_s=0)
    assert (ending.state, ending.held) == ("waiting", False)


def test_an_aborted_run_ends_every_stint_and_is_announced(make_world: Callable[..., Any]) -> None:
    world = make_world(deadlines={"answer_s": 10})
    world.work("centre")
    world.pass_time(25)
    ending = go_on(world.party("centre"), until=Phase.ANSWERS, patience_s=0)
    assert ending.state == "aborted"
    assert go_on(world.party("A"), patience_s=0).state == "aborted"


def test_a_store_that_does_not_answer_is_waited_for(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, fake, down = make_world(), Fake(), [3]
    put = world.store.put

    def sometimes(*args: Any) -> None:
        if down[0]:
            down[0] -= 1
            raise Unavailable("the store does not answer")
        put(*args)

    monkeypatch.setattr(world.store, "put", sometimes)
    assert go_on(world.party("centre"), until=Phase.CHARTER, patience_s=5, clock=fake.clock()).state == "done"
    down[0] = 10**6
    ending = go_on(world.party("A"), patience_s=5, clock=fake.clock())
    assert (ending.state, ending.sentence) == ("waiting", "Waiting for the store, which does not answer.")
    assert ending.held
