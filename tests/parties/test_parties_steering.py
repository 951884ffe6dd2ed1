"""The operator's words and a site's farewell over a real store, with fresh objects after every deed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadInput, KonsilError
from konsil.federation.control import Action
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish, Train, Wait
from konsil.files import read_json
from konsil.parties.loop import go_on
from konsil.parties.report import current_summary
from konsil.parties.steering import leave, say, say_farewell, steer
from konsil.trust.audit import Audit

DAY = 86400.0


def quick(make_world: Callable[..., Any], name: str = "world", **rules: Any) -> Any:
    return make_world(name, compare_with_local=False, **rules)


def tell(world: Any, action: Action, **facts: Any) -> None:
    say(world.party("centre"), action, **facts)


def card(world: Any, name: str = "centre", beside: str = "") -> Any:
    return read_json(world.home(name) / "models" / "lines-1" / beside / "model-card.json")


def test_a_paused_run_stands_still_and_ends_with_the_same_bits(make_world: Callable[..., Any]) -> None:
    world, straight = quick(make_world), quick(make_world, "straight")
    straight.work()
    world.work_until(lambda: world.newest() == 1)
    tell(world, Action.PAUSE, why="maintenance")
    steps = world.work()
    assert all(isinstance(step, Wait) and "maintenance" in step.why for step in steps.values())
    world.pass_time(30 * DAY)
    assert all(isinstance(step, Wait) for step in world.work().values())
    tell(world, Action.RESUME)
    assert all(isinstance(step, Finish) for step in world.work().values())
    assert np.array_equal(world.final()["w"], straight.final()["w"])
    assert [word["action"] for word in world.summary()["operator"]] == ["pause", "resume"]
    assert "maintenance" in world.page()


def test_an_aborted_run_ends_for_everybody_with_the_operators_reason(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    tell(world, Action.ABORT, why="the labels are wrong")
    ends = world.work()
    assert all(isinstance(step, Abort) for step in ends.values())
    assert world.summary("A")["sentence"] == "Aborted after 1 round: The operator ended the run: the labels are wrong."
    assert not (world.home("A") / "models").exists()


def test_the_verbs_post_one_word_each_from_a_home_that_keeps_an_audit_log(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled(quorum={"sites": 1, "share_of_cases": 0})
    world.work_until(lambda: world.newest() == 1)
    centre, run = world.home("centre"), "lines-1"
    numbers = [
        steer(centre, run, Action.PAUSE, why="maintenance").slot.round,
        steer(centre, run, Action.RESUME).slot.round,
    ]
    numbers += [steer(centre, run, Action.EXCLUDE, why="labels are shifted", site="C").slot.round]
    assert leave(world.home("B"), run, why="a new scanner").slot == Slot(Kind.leave, "B")
    numbers += [steer(centre, run, Action.ABORT, why="no sense any more").slot.round]
    assert numbers == [1, 2, 3, 4]
    with pytest.raises(BadInput, match="aborted already"):
        steer(centre, run, Action.ABORT, why="once more")
    told = [entry["event"] for entry in Audit(centre / "audit.jsonl").entries()]
    assert told.count("operator") == 4


def test_an_excluded_site_gets_nothing_more_and_everybody_can_read_why(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    tell(world, Action.EXCLUDE, site="B", why="labels are shifted")
    ends = world.work()
    assert ends["B"] == Finish("The centre excluded this site: labels are shifted")
    assert isinstance(ends["A"], Finish)
    assert world.party("B").look().latest_global() == 1  # it is not among the recipients of what came later
    assert "B was excluded after round 1" in world.summary()["sentence"]
    assert "Finished with fewer sites than planned" in world.summary()["sentence"]
    assert world.summary()["participation"]["B"]["missed"] == []
    assert card(world)["sentence"] == world.summary()["sentence"]
    assert "labels are shifted" in world.page()


def test_a_site_that_leaves_is_counted_as_left_and_keeps_its_word(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    say_farewell(world.party("B"), why="scanner replaced")
    ends = world.work()
    assert ends["B"] == Finish("This site has left the run")
    assert world.summary()["participation"]["B"] | {"refused": {}} == {
        "answer": "accepted", "cases": 3, "rounds": [1], "missed": [], "refused": {}, "gone": "left", "stayed": 1
    }  # fmt: skip
    assert "B left after round 1" in world.page()
    assert "scanner replaced" not in world.page()  # the centre's business, not the other sites'
    assert not (world.home("B") / "models").exists()


def test_nothing_goes_out_after_a_site_left_in_the_middle_of_a_training(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    busy = world.party("B")
    step = busy.next()
    assert isinstance(step, Train)
    say_farewell(world.party("B"))
    busy.do(step)
    assert Slot(Kind.update, "B", 2) not in {letter.slot for letter in world.mailbox("centre").letters()}


def test_below_the_quorum_a_farewell_ends_the_run_with_its_reason(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, quorum={"sites": 3})
    world.work_until(lambda: world.newest() == 1)
    say_farewell(world.party("B"))
    assert isinstance(world.work()["centre"], Abort)
    assert world.summary()["sentence"] == (
        "Aborted after 1 round: Round 2 of 3 stayed below the quorum: 2 of at least 3 sites (B left after round 1)."
    )


def test_an_extension_trains_on_from_the_released_model(make_world: Callable[..., Any]) -> None:
    world, longer = quick(make_world, extra_rounds=2), quick(make_world, "longer", rounds=5)
    world.work()
    short = world.final()["w"]
    tell(world, Action.EXTEND, rounds=2)
    assert all(isinstance(step, Finish) for step in world.work().values())
    longer.work()
    assert np.array_equal(world.final()["w"], longer.final()["w"])
    assert not np.array_equal(world.final()["w"], short)
    assert world.summary("A")["sentence"] == "Finished: 5 rounds with all 3 sites (A, B, C)."
    assert current_summary(world.mailbox("A"))["progress"]["planned"] == 5
    assert card(world, "A")["round"] == 5
    assert all(isinstance(step, Finish) for step in world.work().values())


def test_a_learner_hears_of_the_longer_way(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, extra_rounds=4)
    told = []
    party = world.party("A")
    party._learner_for = lambda charter: told.append((charter.rounds, charter.extra_rounds)) or world.learner("A")
    world.work()
    party.look()
    assert party.learner
    tell(world, Action.EXTEND, rounds=2)
    party.look()
    assert party.learner
    assert told == [(3, 0), (3, 2)]


def test_words_that_would_change_nothing_are_refused(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, extra_rounds=2)
    with pytest.raises(KonsilError, match="has not begun"):
        tell(world, Action.PAUSE)
    world.work_until(lambda: world.newest() == 1)
    for action, facts, why in [
        (Action.RESUME, {}, "is not paused"),
        (Action.ABORT, {}, "A reason is missing"),
        (Action.EXCLUDE, {"site": "B"}, "A reason is missing"),
        (Action.EXCLUDE, {"site": "Z", "why": "x"}, "expected one of A, B, C; got Z"),
        (Action.EXTEND, {"rounds": 1}, "a run that has released its model"),
        (Action.PAUSE, {"why": "x" * 201}, "at most 200 characters"),
        (Action.PAUSE, {"why": "two\nlines"}, "one line"),
    ]:
        with pytest.raises(BadInput, match=why):
            tell(world, action, **facts)
    tell(world, Action.PAUSE)
    with pytest.raises(BadInput, match="paused already"):
        tell(world, Action.PAUSE)
    tell(world, Action.RESUME)
    world.work()
    with pytest.raises(BadInput, match="has ended"):
        tell(world, Action.ABORT, why="too late")
    with pytest.raises(BadInput, match="at most 2 more rounds"):
        tell(world, Action.EXTEND, rounds=3)


def test_only_who_takes_part_can_leave(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    with pytest.raises(BadInput, match="does not take part"):
        say_farewell(world.party("B"))


def test_two_who_speak_at_once_both_are_heard(make_world: Callable[..., Any]) -> None:
    """The second looked before the first had posted: it takes the next number."""
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    second, look = world.party("centre"), []
    honest = second.look

    def outdated() -> Any:
        held = honest()
        if not look:
            look.append(held)
            tell(world, Action.EXCLUDE, site="B", why="first")
        return held

    second.look = outdated  # type: ignore[method-assign]
    say(second, Action.EXCLUDE, site="C", why="second")
    words = [letter.manifest.facts for letter in world.mailbox("A").letters() if letter.slot.kind is Kind.control]
    assert [word["site"] for word in words] == ["B", "C"]


# the best round, the early end, the card


def worse_after(world: Any, number: int) -> None:
    """From round `number` on every site's model is worse by its own account."""
    for site in world.charter.sites:
        learner = world.learners[site] = world.learner(site)
        honest = learner.train

        def train(cohort: Any, recipe: Any, tensors: Any, round: int, honest: Any = honest) -> Any:  # noqa: A002
            update = honest(cohort, recipe, tensors, round)
            update.metrics["dice"] /= 1 if round < number else 10
            return update

        learner.train = train


def test_the_best_round_is_kept_beside_the_last_and_the_report_says_which(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    worse_after(world, 3)
    world.work()
    progress = world.summary()["progress"]
    assert (progress["best"], progress["last"], progress["released"]) == (2, 3, 3)
    told = "The result is the model of round 3; by Dice on the sites' own validation patients, round 2 was the best."
    assert told in world.summary()["sentence"]
    with np.load(world.home("A") / "models" / "lines-1" / "best" / "line.npz") as best:
        letters = {letter.slot: letter for letter in world.mailbox("A").letters()}
        second = world.mailbox("A").read_tensors(letters[Slot(Kind.global_, "centre", 2)])
        assert np.array_equal(best["w"], second["w"])
    assert (card(world, "A")["round"], card(world, "A", "best")["round"]) == (3, 2)
    assert not card(world, "A", "best")["is_result"]


def test_the_charter_may_release_the_best_round(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, best_round={"release": "best"})
    worse_after(world, 2)
    world.work()
    letters = {letter.slot: letter for letter in world.mailbox("A").letters()}
    first = letters[Slot(Kind.global_, "centre", 1)]
    final = letters[Slot(Kind.final, "centre")].manifest.facts
    assert (final["round"], final["model"], final["last"], final["best"]) == (1, first.manifest.digest, 3, 1)
    assert np.array_equal(world.final()["w"], world.mailbox("A").read_tensors(first)["w"])
    assert (world.home("A") / "models" / "lines-1" / "last" / "line.npz").is_file()
    assert card(world)["dice"] == world.summary()["dice"]["federated"]


def test_training_ends_early_where_nothing_is_gained(make_world: Callable[..., Any]) -> None:
    world = quick(make_world, rounds=20, early_stop={"patience": 2})
    worse_after(world, 3)
    world.work()
    assert "Training ended early, after round 4 of 20: no more gain." in world.summary("A")["sentence"]
    assert world.newest() == 4


def test_the_card_says_who_took_part_in_which_round(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    say_farewell(world.party("B"))
    world.work()
    made = card(world, "A")
    assert made["rounds_by_site"] == {"1": {"A": 2, "B": 3, "C": 5}, "2": {"A": 2, "C": 5}, "3": {"A": 2, "C": 5}}
    text = (world.home("A") / "models" / "lines-1" / "model-card.md").read_text()
    assert "Finished with fewer sites than planned" in text
    assert "For research use only; not a medical device." in text
    assert "| B | 3 | round 1 | left after round 1 | – |" in text


@pytest.mark.parametrize("value", [pytest.param(10**400, id="huge"), 1e300, -(10**15), 7.0, True, "0.9"])
def test_figures_that_cannot_be_are_not_counted(make_world: Callable[..., Any], value: Any) -> None:
    """A site may claim what it wants: it can neither choose the best round nor stop the centre's arithmetic."""
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    base = {letter.slot: letter for letter in world.mailbox("B").letters()}[Slot(Kind.global_, "centre", 1)]
    model = world.learner("B").train(world.cohort("B"), {}, world.mailbox("B").read_tensors(base), 2).tensors
    facts = {"cases": 3, "steps": 3, "base": base.manifest.digest, "metrics": {"dice": value, "loss": value}}
    world.mailbox("B").post_tensors(
        Slot(Kind.update, "B", 2), model, recipients=["centre"], facts={**facts, "seconds": 1.0}
    )
    world.work()
    assert world.summary()["progress"]["best"] in (1, 3)
    assert "dice" not in world.summary()["rounds"][1]["metrics"]


def test_a_site_that_pauses_trains_nothing_until_it_goes_on(make_world: Callable[..., Any]) -> None:
    world, straight = quick(make_world), quick(make_world, "straight")
    straight.work()
    world.work_until(lambda: world.newest() == 1)
    ledger = world.party("A").ledger
    ledger.hold(by="custodian", why="the GPU is needed")
    with pytest.raises(BadInput, match="paused its part"):
        ledger.hold(by="custodian")
    steps = world.work()
    assert isinstance(steps["A"], Wait)
    assert "paused here (the GPU is needed)" in steps["A"].why
    assert world.newest() == 1, "the others wait for it as the charter says"
    ledger.go_on(by="custodian")
    with pytest.raises(BadInput, match="has not paused"):
        ledger.go_on(by="custodian")
    assert all(isinstance(step, Finish) for step in world.work().values())
    assert np.array_equal(world.final()["w"], straight.final()["w"])


def test_a_stint_that_meets_a_pause_of_its_site_comes_back(make_world: Callable[..., Any]) -> None:
    world = quick(make_world)
    world.work_until(lambda: world.newest() == 1)
    party = world.party("A")
    party.ledger.hold(by="custodian")
    ending = go_on(party, patience_s=0.0)
    assert (ending.state, ending.held) == ("waiting", True)
