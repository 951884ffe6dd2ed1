"""A federation of three sites over a real folder store, with real keys: what comes out, and what cannot stop it.

`world.work()` makes fresh objects after every single deed, so every test here also is a test of restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Finish, Wait

DAY = 86400.0


def by_hand(world: Any) -> Any:
    """FedAvg as in the paper, written out: all sites, all rounds."""
    model = world.learner("A").initial({"size": 4})
    total = sum(len(world.cohort(site).split("train")) for site in world.charter.sites)
    for number in range(1, world.charter.rounds + 1):
        updates = [world.learner(site).train(world.cohort(site), {}, model, number) for site in world.charter.sites]
        mean = sum(update.cases / total * update.tensors["w"].astype(np.float64) for update in updates)
        model = {"w": mean.astype(np.float32), "n": updates[0].tensors["n"]}
    return model


def test_the_result_is_fedavg_computed_by_hand(make_world: Callable[..., Any]) -> None:
    world = make_world()
    ends = world.work()
    assert all(isinstance(step, Finish) for step in ends.values())
    expected = by_hand(world)
    np.testing.assert_allclose(world.final()["w"], expected["w"], rtol=2e-7)  # one rounding to float32 per round
    assert world.final()["n"].tolist() == expected["n"].tolist() == [9]


def test_a_killed_and_restarted_federation_ends_with_the_same_bits(make_world: Callable[..., Any]) -> None:
    restarted, straight = make_world("restarted"), make_world("straight")
    restarted.work()
    parties = [straight.party(name) for name in straight.names]
    while not all([isinstance(party.step(), Finish) for party in parties]):  # noqa: C419 - every party has its turn
        pass
    assert all(np.array_equal(restarted.final()[name], straight.final()[name]) for name in ("w", "n"))


@pytest.mark.parametrize("kind", ["recipe", "update", "global", "baselines", "final"])
def test_a_process_that_dies_while_posting_is_continued(
    make_world: Callable[..., Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, whole = make_world("killed"), make_world("whole")
    whole.work()
    put, left = world.store.put, [2]

    def dies(bucket: str, key: str, *rest: Any) -> None:
        put(bucket, key, *rest)
        if f"/{kind}" in key and left[0]:
            left[0] -= 1
            raise KeyboardInterrupt

    monkeypatch.setattr(world.store, "put", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            world.work()
    world.work()
    assert np.array_equal(world.final()["w"], whole.final()["w"])
    assert world.summary()["refused"] == []


def test_every_party_keeps_the_model_and_the_report(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work()
    for name in world.names:
        assert (world.home(name) / "models" / "lines-1" / "line.npz").is_file()
        assert world.summary(name)["sentence"] == "Finished: 3 rounds with all 3 sites (A, B, C)."


def test_a_finished_federation_does_nothing_when_it_is_run_again(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work()
    before = {path: path.stat().st_mtime_ns for path in world.root.rglob("*") if path.is_file()}
    assert all(isinstance(step, Finish) for step in world.work().values())
    assert before == {path: path.stat().st_mtime_ns for path in world.root.rglob("*") if path.is_file()}


def test_local_models_are_tested_everywhere(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work()
    dice = world.summary()["dice"]
    for trained in "ABC":
        first = world.learner(trained).initial({"size": 4})
        alone = world.learner(trained).baseline(world.cohort(trained), {}, first)
        for tested in "ABC":
            scores = world.learner(tested).evaluate(world.cohort(tested), {}, alone, "test")
            assert dice["local"][trained][tested] == pytest.approx(np.mean([case.mean() for case in scores]))


def test_without_comparison_no_local_model_leaves(make_world: Callable[..., Any]) -> None:
    world = make_world(compare_with_local=False)
    world.work()
    assert world.summary()["dice"]["local"] == {}
    assert not [path for path in world.store.path.rglob("*") if "baseline" in path.name]


def test_a_site_that_misses_a_round_comes_back(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    world.work("centre", "A", "C")  # B is silent in round 2
    world.pass_time(DAY + 1)
    world.work("centre")
    assert world.newest() == 2
    world.work()
    part = world.summary()["participation"]["B"]
    assert (part["rounds"], part["missed"]) == ([1, 3], [2])
    assert "fewer sites than planned" in world.summary()["sentence"]
    assert "B missed round 2" in world.page()


def test_a_silent_site_is_not_waited_for_twice(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    world.work("centre", "A", "C")
    world.pass_time(DAY + 1)
    world.work("centre", "A", "C")
    assert world.newest() == 3  # round 3 did not wait for B


def test_an_update_for_a_closed_round_is_kept_and_not_averaged(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    late = world.party("B")
    step = late.next()
    world.work("centre", "A", "C")
    world.pass_time(DAY + 1)
    world.work("centre")
    late.do(step)  # for round 2, which is closed
    letters = {letter.slot: letter for letter in world.mailbox("centre").letters()}
    assert Slot(Kind.update, "B", 2) in letters
    assert "B" not in letters[Slot(Kind.global_, "centre", 2)].manifest.facts["included"]
    world.work()
    assert world.summary()["participation"]["B"]["rounds"] == [1, 3]


def nan(model: Any, number: int) -> Any:
    return {**model, "w": np.where(number == 2, np.float32("nan"), model["w"])}


def wrong_shape(model: Any, number: int) -> Any:
    return {**model, "w": model["w"].reshape(-1) if number == 2 else model["w"]}


def wrong_dtype(model: Any, number: int) -> Any:
    return {**model, "w": model["w"].astype(np.float64) if number == 2 else model["w"]}


def fewer(model: Any, number: int) -> Any:
    return {"w": model["w"]} if number == 2 else model


def other_counter(model: Any, number: int) -> Any:
    return {**model, "n": model["n"] + (number == 2)}


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        (nan, "holds numbers that are not finite"),
        (wrong_shape, "expected float32 (4, 1), got float32 (4,)"),
        (wrong_dtype, "got float64"),
        (fewer, "1 are missing"),
        (other_counter, "differ from those of A"),
    ],
)
def test_a_poisoned_update_is_refused_and_the_run_goes_on(
    make_world: Callable[..., Any], poison: Any, why: str
) -> None:
    world = make_world()
    world.spoil("B", poison)
    world.work()
    part = world.summary()["participation"]["B"]
    assert part["rounds"] == [1, 3]
    assert why in part["refused"]["2"]
    assert "B sent an update that was refused in round 2" in world.summary()["sentence"]
    assert "refused: " in world.page()
    assert np.isfinite(world.final()["w"]).all()


def test_an_update_from_another_base_is_refused(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    model = world.learner("B").train(world.cohort("B"), {}, world.learner("B").initial({"size": 4}), 2)
    facts = {"cases": 3, "steps": 3, "base": "0" * 64, "metrics": {}, "seconds": 1.0}
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 2), model.tensors, recipients=["centre"], facts=facts)
    world.work()
    assert "did not start from" in world.summary()["participation"]["B"]["refused"]["2"]


def test_an_update_that_claims_more_cases_than_announced_is_refused(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work_until(lambda: world.newest() == 1)
    base = {letter.slot: letter for letter in world.mailbox("B").letters()}[Slot(Kind.global_, "centre", 1)]
    facts = {"cases": 10**9, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    model = world.mailbox("B").read_tensors(base)
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 2), model, recipients=["centre"], facts=facts)
    world.work()
    assert "expected 1 to 3 training cases" in world.summary()["participation"]["B"]["refused"]["2"]


def test_a_poisoned_local_model_is_not_passed_on(make_world: Callable[..., Any]) -> None:
    world = make_world()
    learner = world.learners["B"] = world.learner("B")
    learner.baseline = lambda cohort, recipe, tensors: {**tensors, "w": tensors["w"] * np.float32("inf")}
    world.work()
    assert sorted(world.summary()["dice"]["local"]) == ["A", "C"]


def test_a_site_without_scores_is_named_and_the_model_is_released(make_world: Callable[..., Any]) -> None:
    world = make_world(compare_with_local=False)
    world.work_until(lambda: world.newest() == 3)
    world.work("centre", "A", "C")
    world.pass_time(3 * DAY)
    world.work("centre", "A", "C")
    assert world.summary()["without_scores"] == ["B"]
    assert sorted(world.summary()["dice"]["federated"]) == ["A", "C"]
    assert "No scores came from B." in world.page()
    world.work()
    assert (world.home("B") / "models" / "lines-1").is_dir()


@pytest.mark.parametrize("score", [1.5, -1, "high", True])
def test_an_evaluation_with_impossible_scores_is_refused_and_named(make_world: Callable[..., Any], score: Any) -> None:
    world = make_world(compare_with_local=False)
    world.work_until(lambda: world.newest() == 3)
    table = {"lesion": score}
    case = dict.fromkeys(("dice", "sensitivity", "precision", "reference_ml", "predicted_ml"), table)
    content = {"federated": {"test": [case]}, "local": {}}
    world.mailbox("B").post_json(Slot(Kind.evaluation, "B", 3), content, recipients=["centre"])
    world.work()
    assert world.summary()["without_scores"] == ["B"]
    assert "An evaluation is not usable" in world.page()


def test_below_the_quorum_everybody_hears_why_the_run_ends(make_world: Callable[..., Any]) -> None:
    world = make_world(quorum={"sites": 3})
    world.work_until(lambda: world.newest() == 1)
    world.work("centre", "A", "C")
    world.pass_time(DAY + 1)
    assert isinstance(world.work("centre")["centre"], Wait)  # the grace period
    world.pass_time(DAY)
    ends = world.work()
    assert all(isinstance(step, Abort) for step in ends.values())
    sentence = "Aborted after 1 round: Round 2 of 3 stayed below the quorum: 2 of at least 3 sites."
    assert world.summary("A")["sentence"] == world.summary()["sentence"] == sentence
    assert not (world.home("A") / "models").exists()


def test_a_site_that_refuses_is_out_and_the_others_go_on(make_world: Callable[..., Any]) -> None:
    world = make_world()
    decision = world.party("B").ledger.folder / "decision.json"
    decision.unlink()
    world.party("B").ledger.decide(accepted=False, by="custodian", reason="no ethics vote yet")
    ends = world.work()
    assert ends["B"] == Finish("This site refused the charter")
    assert world.summary()["sentence"] == (
        "Finished with fewer sites than planned: 3 rounds, A and C in every round; B refused the charter."
    )
    assert not (world.home("B") / "models").exists()


def test_nothing_leaves_before_the_custodian_decided(make_world: Callable[..., Any]) -> None:
    world = make_world()
    (world.party("B").ledger.folder / "decision.json").unlink()
    step = world.work()["B"]
    assert isinstance(step, Wait)
    assert "custodian" in step.why
    assert not (world.store.path / "site-b").exists()


def test_no_pseudonym_is_in_what_a_site_posts(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.work()
    mailbox = world.mailbox("centre")
    for letter in mailbox.letters():
        if letter.manifest.tensors is None:
            assert "sub-" not in repr(mailbox.read_json(letter))
        assert "sub-" not in repr(letter.manifest.facts)


def test_a_second_charter_of_the_same_name_is_refused(make_world: Callable[..., Any]) -> None:
    world = make_world()
    with pytest.raises(Exception, match="another charter already"):
        world.party("centre").ledger.keep_charter(world.charter.model_copy(update={"rounds": 4}))


def test_a_decision_stands(make_world: Callable[..., Any]) -> None:
    ledger = make_world().party("B").ledger
    assert ledger.decide(accepted=True, by="custodian", cohort="bb") == ledger.decision()
    with pytest.raises(Exception, match="decided on already"):
        ledger.decide(accepted=False, by="custodian", reason="changed my mind")


def test_a_cohort_that_lacks_a_channel_is_refused_in_a_sentence(make_world: Callable[..., Any]) -> None:
    world = make_world(data={"channels": ["T1w", "T2w"]})
    world.work("centre")
    with pytest.raises(Exception, match="not what the charter asks for; expected channels T1w, T2w and"):
        world.party("A").step()


def test_a_cohort_may_offer_more_channels_than_the_charter_asks_for(make_world: Callable[..., Any]) -> None:
    world = make_world(data={"channels": ["T1w"]})
    world.work("centre")
    world.party("A").step()
