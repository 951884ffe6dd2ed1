"""What to do next, without network, clock or folder: moments are seconds after noon, messages are facts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.federation.holdings import Holdings
from konsil.federation.rounds import next_step
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import (
    Abort,
    Aggregate,
    Answer,
    Evaluate,
    Finish,
    MakeRecipe,
    Phase,
    Prepare,
    PublishBaselines,
    PublishCharter,
    Release,
    Role,
    SendFingerprint,
    StoreModel,
    Train,
    TrainBaseline,
    Wait,
)
from tests.federation.notes import (
    NOON,
    answered,
    at,
    centre,
    charter,
    ended,
    made,
    posted,
    say,
    site,
    started,
    updates,
)

# the centre: charter, answers, recipe


def test_the_charter_is_published_first() -> None:
    assert centre({}, 0) == PublishCharter()


def test_the_centre_waits_for_answers_until_the_deadline() -> None:
    step = centre(answered(A=1, B=2), 50)
    assert step == Wait(Phase.ANSWERS, "for the answers of C", at(100))


def test_answers_close_when_everybody_answered() -> None:
    step = centre(answered(A=1, B=2, C=3), 4)
    assert step == Wait(Phase.RECIPE, "for the fingerprints of A, B, C", at(3 + 50))


def test_answers_close_at_the_deadline_with_a_quorum() -> None:
    notes = say(say(answered(A=1, B=2), Kind.fingerprint, "A", 3, cases=1), Kind.fingerprint, "B", 4, cases=1)
    assert centre(notes, 101) == MakeRecipe(("A", "B"))


def test_an_answer_after_the_deadline_is_too_late() -> None:
    notes = answered(A=1, B=2, C=150)
    for name in "ABC":
        notes = say(notes, Kind.fingerprint, name, 151, cases=1)
    assert centre(notes, 160) == MakeRecipe(("A", "B"))


def test_below_the_quorum_answers_wait_once_more_as_long_then_the_run_aborts() -> None:
    assert centre(answered(A=1), 150) == Wait(Phase.ANSWERS, "for the answers of B, C", at(200))
    assert centre(answered(A=1), 201) == Abort("Too few sites accepted the charter: 1 of at least 2 sites")


def test_a_late_answer_in_the_grace_period_saves_the_run() -> None:
    notes = answered(A=1, C=150)
    step = centre(notes, 160)
    assert isinstance(step, Wait)
    assert step.phase is Phase.RECIPE


def test_refusals_that_make_a_quorum_impossible_abort_at_once() -> None:
    notes = answered(A=1)
    for name in "BC":
        notes = say(notes, Kind.answer, name, 2, accepted=False)
    assert centre(notes, 3) == Abort("Too few sites accepted the charter: 1 of at least 2 sites")


def test_a_required_site_that_refuses_ends_the_run() -> None:
    notes = say(answered(A=1, B=2), Kind.answer, "C", 3, accepted=False)
    step = centre(notes, 4, charter(quorum={"required": ["C"]}))
    assert step == Abort("Too few sites accepted the charter: required and absent: C")


@pytest.mark.parametrize("said", ["yes", 1, None])
def test_only_true_is_an_acceptance(said: Any) -> None:
    notes = say(answered(A=1, B=2), Kind.answer, "C", 3, accepted=said)
    assert centre(notes, 4) == Wait(Phase.RECIPE, "for the fingerprints of A, B", at(53))


@pytest.mark.parametrize("cases", [0, -3, 2.5, True, "9", None])
def test_a_fingerprint_without_cases_does_not_count(cases: Any) -> None:
    notes = answered(A=1, B=2, C=3)
    for name in "AB":
        notes = say(notes, Kind.fingerprint, name, 5, cases=4)
    assert centre(say(notes, Kind.fingerprint, "C", 6, cases=cases), 7) == MakeRecipe(("A", "B"))


def test_a_recipe_without_first_weights_is_completed() -> None:
    notes = started()
    del notes[Slot(Kind.global_, "centre", 0)]
    assert centre(notes, 30) == MakeRecipe(("A", "B", "C"))


# the centre: rounds


def test_a_round_closes_when_all_sites_answered_in_charter_order() -> None:
    assert centre(updates(started(), 1, C=30, A=40, B=50), 51) == Aggregate(1, ("A", "B", "C"))


def test_round_one_has_the_time_for_preprocessing_on_top() -> None:
    step = centre(updates(started(), 1, A=30, B=40), 500)
    assert step == Wait(Phase.ROUNDS, "for the updates of C in round 1 of 3", at(20 + 1100), 1)


def test_a_round_closes_at_its_deadline_with_a_quorum() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80)
    assert isinstance(centre(notes, 159), Wait)
    assert centre(notes, 160) == Aggregate(2, ("A", "B"), missing=("C",))


def test_an_update_after_the_closing_moment_does_not_count_even_if_the_centre_slept() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80, C=200)
    assert centre(notes, 10**5) == Aggregate(2, ("A", "B"), missing=("C",))


def test_a_round_below_the_quorum_waits_and_then_aborts() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70)
    step = centre(notes, 161)
    assert step == Wait(Phase.ROUNDS, "for the updates of B, C in round 2 of 3", at(260), 2)
    assert centre(notes, 260) == Abort("Round 2 of 3 stayed below the quorum: 1 of at least 2 sites")


def test_an_update_in_the_grace_period_closes_the_round() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, C=200)
    assert centre(notes, 201) == Aggregate(2, ("A", "C"), missing=("B",))


def test_the_quorum_counts_cases_too() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80)
    step = centre(notes, 10**4, charter(quorum={"share_of_cases": 0.6}))
    assert step == Abort("Round 2 of 3 stayed below the quorum: 50% of the training cases, at least 60% are needed")


def test_a_required_site_is_waited_for_beyond_the_deadline() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80)
    assert isinstance(centre(notes, 200, charter(quorum={"required": ["C"]})), Wait)


def test_a_site_that_missed_a_round_is_not_waited_for() -> None:
    notes = updates(made(made(started(), 1, 60, "ABC"), 2, 160, "AB"), 3, A=170, B=180)
    assert centre(notes, 181) == Aggregate(3, ("A", "B"), missing=("C",))


def test_a_site_that_wrote_again_is_waited_for() -> None:
    notes = updates(made(made(started(), 1, 60, "ABC"), 2, 160, "AB"), 3, A=170, B=180)
    notes = updates(notes, 2, C=165)  # too late for round 2, but it lives
    step = centre(notes, 181)
    assert step == Wait(Phase.ROUNDS, "for the updates of C in round 3 of 3", at(260), 3)


def test_an_inactive_site_that_is_in_time_is_averaged() -> None:
    notes = updates(made(made(started(), 1, 60, "ABC"), 2, 160, "AB"), 3, A=170, C=175, B=180)
    assert centre(notes, 181) == Aggregate(3, ("A", "B", "C"))


def test_a_site_whose_update_was_refused_stays_active() -> None:
    notes = updates(made(started(), 1, 60, "AB", refused="C"), 2, A=70, B=80)
    assert isinstance(centre(notes, 81), Wait)


def test_a_refused_update_is_named_and_not_waited_for() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80, C=90)
    step = centre(notes, 91, refused={Slot(Kind.update, "B", 2): "not finite"})
    assert step == Aggregate(2, ("A", "C"), refused={"B": "not finite"})


def test_refusals_below_the_quorum_abort_once_everybody_answered() -> None:
    notes = updates(made(started(), 1, 60, "ABC"), 2, A=70, B=80, C=90)
    refused = {Slot(Kind.update, name, 2): "not finite" for name in "AB"}
    assert centre(notes, 91, refused=refused) == Abort("Round 2 of 3 stayed below the quorum: 1 of at least 2 sites")


@given(
    moments=st.dictionaries(st.sampled_from("ABC"), st.floats(61, 500), max_size=3),
    looks=st.lists(st.floats(61, 1000), min_size=1, max_size=6),
)
def test_who_is_averaged_does_not_depend_on_when_the_centre_looks(
    moments: dict[str, float], looks: list[float]
) -> None:
    """Whenever the centre looks it waits, or sees the one outcome that a centre that never sleeps would see."""
    outcomes = set()
    for look in [*looks, *moments.values()]:
        seen = {name: moment for name, moment in moments.items() if moment <= look}
        step = centre(updates(made(started(), 1, 60, "ABC"), 2, **seen), look)
        if isinstance(step, Aggregate):
            outcomes.add(step.sites)
    assert len(outcomes) <= 1


# the centre: evaluation and release


def test_local_models_are_gathered_and_passed_on() -> None:
    notes = ended()
    assert centre(notes, 141) == Wait(Phase.EVALUATION, "for the local models", at(240), 3)
    notes = say(say(notes, Kind.baseline, "A", 150), Kind.baseline, "B", 160)
    assert centre(notes, 241) == PublishBaselines(("A", "B"))
    assert centre(say(notes, Kind.baseline, "C", 170), 171) == PublishBaselines(("A", "B", "C"))


def test_without_comparison_the_scores_are_next() -> None:
    step = centre(ended(), 141, charter(compare_with_local=False))
    assert step == Wait(Phase.EVALUATION, "for the evaluations", at(240), 3)


def test_a_missing_evaluation_is_named_and_does_not_abort() -> None:
    notes = say(ended(), Kind.baselines, "centre", 180, sites=["A"])
    for name in "AC":
        notes = say(notes, Kind.evaluation, name, 190, 3)
    assert centre(notes, 200) == Wait(Phase.EVALUATION, "for the evaluations", at(280), 3)
    assert centre(notes, 281) == Release(missing=("B",))
    assert centre(say(notes, Kind.evaluation, "B", 195, 3), 200) == Release()


def test_after_the_release_the_centre_keeps_the_model_and_has_finished() -> None:
    notes = say(ended(), Kind.final, "centre", 300, outcome="released", sentence="Finished.")
    assert centre(notes, 301) == StoreModel()
    assert centre(notes, 301, stored=True) == Finish("Finished.")


# the site


def test_a_site_waits_for_charter_and_custodian() -> None:
    assert next_step(Role.SITE, Holdings("A", {}), None, NOON) == Wait(Phase.CHARTER, "for the charter")
    step = site(posted())
    assert isinstance(step, Wait)
    assert (step.phase, "custodian" in step.why) == (Phase.ANSWERS, True)


@pytest.mark.parametrize("decision", [True, False])
def test_a_decision_is_answered(decision: bool) -> None:
    assert site(posted(), decided=decision) == Answer()


def test_a_refusal_ends_the_sites_part() -> None:
    assert site(say(posted(), Kind.answer, "A", 1, accepted=False)) == Finish("This site refused the charter")


def test_a_site_goes_from_answer_to_prepared() -> None:
    notes = answered(A=1)
    assert site(notes) == SendFingerprint()
    assert site(say(notes, Kind.fingerprint, "A", 2, cases=1)) == Wait(Phase.RECIPE, "for the recipe")
    assert site(started()) == Prepare()


def test_a_site_that_came_too_late_is_told() -> None:
    step = site(started("BC"), decided=True)
    assert isinstance(step, Finish)
    assert "goes on without it" in step.why


def test_a_site_trains_the_newest_model_and_then_waits() -> None:
    assert site(started(), prepared=True) == Train(1)
    step = site(updates(started(), 1, A=30), prepared=True)
    assert step == Wait(Phase.ROUNDS, "for the global model of round 1 of 3", round=1)


def test_a_site_that_slept_rejoins_at_the_newest_model() -> None:
    assert site(made(made(started(), 1, 60, "BC"), 2, 100, "BC"), prepared=True) == Train(3)


def test_a_site_compares_evaluates_and_stores() -> None:
    notes = ended()
    assert site(notes, prepared=True) == TrainBaseline()
    notes = say(notes, Kind.baseline, "A", 150)
    assert isinstance(site(notes, prepared=True), Wait)
    notes = say(notes, Kind.baselines, "centre", 160, sites=["A"])
    assert site(notes, prepared=True) == Evaluate()
    notes = say(notes, Kind.evaluation, "A", 170, 3)
    assert site(notes, prepared=True) == Wait(Phase.RELEASE, "for the release of the model", round=3)
    notes = say(notes, Kind.final, "centre", 180, outcome="released", sentence="Finished.")
    assert site(notes, prepared=True) == StoreModel()
    assert site(notes, prepared=True, stored=True) == Finish("Finished.")


def test_a_site_that_slept_through_the_end_still_stores_the_model() -> None:
    notes = say(ended("BC"), Kind.final, "centre", 180, outcome="released", sentence="Finished.")
    assert site(notes) == StoreModel()  # without preparing a cohort that nobody needs any more


def test_an_announced_abort_reaches_everybody() -> None:
    notes = say(started(), Kind.final, "centre", 180, outcome="aborted", sentence="Too few.")
    assert site(notes) == centre(notes, 181) == Abort("Too few.", announced=True)


def test_a_site_that_the_charter_does_not_name_does_nothing() -> None:
    assert site(posted(), me="D", decided=True) == Finish("The charter does not name this site")
