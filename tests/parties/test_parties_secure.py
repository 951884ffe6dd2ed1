"""A federation whose centre sees sums only: the same model, whoever drops out when; and what sites refuse to do."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadSetting, Missing, Refused
from konsil.federation.mailbox import Letter
from konsil.federation.secure.masked import COMMITMENTS, SHARES
from konsil.federation.slot import Kind, Slot
from konsil.federation.steps import Abort, Aggregate, CallRoll, Finish, Reveal, SendFingerprint, Train, Wait
from konsil.parties.steering import say_farewell
from konsil.trust.identity import Identity

SITES = "ABCD"
BOUND = 1e-6
"""Three rounds of float32 with numbers up to 4: fixed point adds 3e-8 a round, float32 itself 2.4e-7."""


@pytest.fixture
def make(make_affine: Callable[..., Any]) -> Callable[..., Any]:
    def four(name: str = "secure", **rules: Any) -> Any:
        secure = {"secure_aggregation": {}} if name != "plain" else {}
        return make_affine(name, **{"sites": list(SITES), "rounds": 2, "quorum": {"sites": 3}, **secure, **rules})

    return four


def same(world: Any, plain: Any) -> bool:
    one, other = world.final(), plain.final()
    assert one.keys() == other.keys()
    assert np.array_equal(one["n"], other["n"])
    return all(np.abs(one[name] - other[name]).max() < BOUND for name in one)


def until(world: Any, name: str, step: type, number: int) -> None:
    """Let everybody work until this is the next step of a party, each with one object as long as it lives."""
    parties = {name: world.party(name) for name in world.names}
    while True:
        for who, party in parties.items():
            following = party.next()
            if who == name and isinstance(following, step) and following.round == number:
                return
            party.do(following)


def finish(world: Any, *names: str) -> dict[str, Any]:
    """`World.work` with one object per party; restarts are the business of test_parties_secure_kills."""
    parties, last, moved = {name: world.party(name) for name in names or world.names}, {}, True
    while moved:
        moved = False
        for name, party in parties.items():
            last[name] = party.step()
            moved |= not isinstance(last[name], Wait | Finish | Abort)
    return last


def letter(world: Any, name: str, kind: Kind, sender: str = "centre", number: int | None = None) -> Letter:
    return next(found for found in world.mailbox(name).letters() if found.slot == Slot(kind, sender, number))


def ended(steps: dict[str, Any]) -> bool:
    return all(isinstance(step, Finish) for step in steps.values())


@pytest.mark.parametrize("strategy", ["fedavg", {"name": "fedavgm", "momentum": 0.5}, "ditto"])
def test_the_model_is_the_plain_one_within_rounding(make: Callable[..., Any], strategy: Any) -> None:
    worlds = [make(name, strategy=strategy) for name in ("secure", "plain")]
    for world in worlds:
        assert ended(finish(world))
    assert same(*worlds)
    assert worlds[0].summary()["sentence"] == worlds[1].summary()["sentence"]
    assert "the centre has opened only their sum" in worlds[0].page()
    assert "secure aggregation" not in worlds[1].page()


def test_what_the_store_holds_of_an_update_is_masked_and_its_key_is_deleted(make: Callable[..., Any]) -> None:
    world = make()
    until(world, "centre", CallRoll, 1)
    assert (world.home("A") / "runs/lines-1/masking/key.json").stat().st_mode & 0o777 == 0o600
    posted = world.mailbox("centre").read_tensors(letter(world, "centre", Kind.update, "A", 1))
    assert list(posted) == [SHARES, COMMITMENTS, "w", "n", "b"]
    assert posted["w"].dtype == np.uint32
    assert ended(finish(world))
    assert not (world.home("A") / "runs/lines-1/masking").exists()
    assert letter(world, "centre", Kind.global_, number=1).manifest.facts["opened"] == ["A", "B", "C"]


def without_d_in_round_two(world: Any) -> None:
    """D drops out before its update of round 2 and comes back for round 3."""
    until(world, "D", Train, 2)
    finish(world, "centre", "A", "B", "C")
    world.pass_time(2 * 86400)
    finish(world, "centre", "A", "B", "C")
    assert ended(finish(world))


def test_a_site_that_drops_out_before_its_update_is_not_needed(make: Callable[..., Any]) -> None:
    worlds = [make("secure"), make("plain")]
    for world in worlds:
        without_d_in_round_two(world)
    assert same(*worlds)
    assert worlds[0].summary()["participation"]["D"]["missed"] == [2]
    assert worlds[0].summary()["sentence"] == worlds[1].summary()["sentence"]


def test_a_site_that_drops_out_after_its_update_stays_in_the_sum(make: Callable[..., Any]) -> None:
    worlds = [make("secure", rounds=1), make("plain", rounds=1)]
    until(worlds[0], "centre", CallRoll, 1)
    finish(worlds[0], "centre", "A", "B", "C")
    assert worlds[0].newest() == 1, "three of four open the sum"
    assert Slot(Kind.reveal, "D", 1) not in {found.slot for found in worlds[0].mailbox("centre").letters()}
    for world in worlds:
        assert ended(finish(world))
    assert same(*worlds)


def test_a_site_that_leaves_between_update_and_roll_is_recovered(make: Callable[..., Any]) -> None:
    worlds = [make("secure"), make("plain")]
    until(worlds[0], "centre", CallRoll, 1)
    until(worlds[1], "centre", Aggregate, 1)
    for world in worlds:
        say_farewell(world.party("D"), why="scanner replaced")
        assert ended(finish(world))
    assert same(*worlds)
    assert "D left after round 1" in worlds[0].summary()["sentence"]


def test_a_late_update_stays_under_its_own_mask(make: Callable[..., Any]) -> None:
    """D had trained and posts after the roll: no share of its secrets is ever revealed."""
    world = make()
    until(world, "D", Train, 2)
    late = world.party("D")
    step = late.next()
    finish(world, "A", "B", "C")
    world.pass_time(2 * 86400)
    world.party("centre").step()
    assert isinstance(world.party("A").next(), Reveal)
    late.do(step)
    assert ended(finish(world))
    said = [world.mailbox("centre").read_json(letter(world, "centre", Kind.reveal, site, 2)) for site in "ABC"]
    assert all(set(found["shares"]) == set("ABC") for found in said)
    assert world.summary()["participation"]["D"]["missed"] == [2]


def test_a_second_sum_of_a_round_is_never_opened(make: Callable[..., Any]) -> None:
    world = make()
    until(world, "A", Reveal, 1)
    roll, mine = letter(world, "A", Kind.roll, number=1), letter(world, "A", Kind.update, "A", 1)
    recipe = letter(world, "A", Kind.recipe)
    world.party("A").step()
    party = world.party("A")
    party.look()
    other = replace(roll, manifest=roll.manifest.model_copy(update={"created": "2026-11-21T06:00:00Z"}))
    with pytest.raises(Refused, match="second sum of round 1"):
        party.masking.revealed(recipe, other, mine)
    assert party.masking.revealed(recipe, roll, mine), "the one it has answered, as often as it is asked"
    log = (world.home("A") / "audit.jsonl").read_text()
    assert "shares revealed" in log


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: {site: said[site] for site in "AB"}, "over so few sites"),
        (lambda said: {**said, "X": said["A"]}, "unknown ones"),
        (lambda said: {**said, "A": {**said["A"], "digest": "0" * 64}}, "another update than"),
        (lambda said: "all", "over so few sites"),
    ],
)
def test_a_roll_that_is_not_honest_is_not_answered(make: Callable[..., Any], change: Any, words: str) -> None:
    world = make()
    until(world, "A", Reveal, 1)
    roll, mine = letter(world, "A", Kind.roll, number=1), letter(world, "A", Kind.update, "A", 1)
    party = world.party("A")
    party.look()
    facts = {**roll.manifest.facts, "included": change(roll.manifest.facts["included"])}
    other = replace(roll, manifest=roll.manifest.model_copy(update={"facts": facts}))
    with pytest.raises(Refused, match=words):
        party.masking.revealed(letter(world, "A", Kind.recipe), other, mine)
    assert not (world.home("A") / "runs/lines-1/masking/answered.json").exists()


def test_a_charter_with_other_keys_for_a_site_is_refused_there(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, stranger = make(), Identity.generate().public
    centre = world.party("centre")
    honest = centre.mailbox.keys_of
    monkeypatch.setattr(centre.mailbox, "keys_of", lambda name: stranger if name == "B" else honest(name))
    centre.step()
    world.party("A").step()
    with pytest.raises(BadSetting, match="other keys for this site"):
        world.party("B").step()


def test_a_masking_key_that_a_site_has_not_signed_is_refused(make: Callable[..., Any]) -> None:
    """The centre passes on a key of its own for B: nobody masks anything with it."""
    world = make()
    until(world, "A", Train, 1)
    recipe = letter(world, "A", Kind.recipe)
    masking = {**recipe.manifest.facts["masking"], "B": recipe.manifest.facts["masking"]["C"]}
    other = replace(
        recipe, manifest=recipe.manifest.model_copy(update={"facts": {**recipe.manifest.facts, "masking": masking}})
    )
    party = world.party("A")
    party.look()
    message = dict(party.message(0))
    with pytest.raises(Refused, match="signature is not that of its sender"):
        party.masking.masked(other, 1, message, message, 2)


def test_a_site_whose_masking_key_is_not_good_is_left_out(make: Callable[..., Any], caplog: Any) -> None:
    world = make()
    while not isinstance(world.party("D").next(), SendFingerprint):
        for name in ("centre", "D"):
            world.party(name).step()
    world.mailbox("D").post_json(
        Slot(Kind.fingerprint, "D"),
        {"rows": 6, "sum": [0.0] * 4},
        recipients=["centre"],
        facts={"cases": 3, "masking": "x"},
    )
    with caplog.at_level(logging.WARNING):
        finish(world)
    assert "fingerprints/D is refused: a masking is not read" in caplog.text
    assert world.summary()["participation"]["D"]["cases"] is None
    assert world.summary()["rounds"][0]["sites"].keys() == {"A", "B", "C"}


def test_a_site_that_lost_its_masking_key_says_so_and_the_others_go_on(make: Callable[..., Any]) -> None:
    world = make()
    until(world, "D", Train, 2)
    (world.home("D") / "runs/lines-1/masking/key.json").unlink()
    with pytest.raises(Missing, match="masking key of this run is gone"):
        world.party("D").step()
    finish(world, "centre", "A", "B", "C")
    world.pass_time(2 * 86400)
    finish(world, "centre", "A", "B", "C")
    assert world.summary()["participation"]["D"]["missed"] == [2]


def test_shares_that_are_not_good_are_refused_and_others_open_the_sum(make: Callable[..., Any]) -> None:
    world = make(rounds=1)
    until(world, "A", Reveal, 1)
    wrong = {owner: {owner: base64.b64encode(bytes(16)).decode()} for owner in SITES}
    world.mailbox("A").post_json(Slot(Kind.reveal, "A", 1), {"shares": wrong}, recipients=["centre"])
    assert ended(finish(world))
    assert letter(world, "centre", Kind.global_, number=1).manifest.facts["opened"] == ["B", "C", "D"]


def test_an_update_with_promises_it_does_not_keep_ends_the_run_and_is_named(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B commits to another seed than it shares: the sum cannot be opened, and no wrong weights come of it."""
    world = make(rounds=1)
    until(world, "B", Train, 1)
    party = world.party("B")
    honest = party._send

    def lying(slot: Slot, tensors: Any, facts: Any) -> None:
        promised = tensors[COMMITMENTS].copy()
        promised[0] = 0
        honest(slot, {**tensors, COMMITMENTS: promised}, facts)

    monkeypatch.setattr(party, "_send", lying)
    party.step()
    steps = finish(world)
    assert all(isinstance(step, Abort) for step in steps.values())
    assert "the masks of B do not come off" in steps["A"].why
    assert not (world.home("centre") / "models/lines-1").exists()
    assert not (world.home("A") / "runs/lines-1/masking").exists()


def test_masked_updates_of_another_form_are_refused_before_the_roll(make: Callable[..., Any]) -> None:
    """An update without masks is named, and the round goes on by quorum."""
    world = make(rounds=1)
    until(world, "B", Train, 1)
    party = world.party("B")
    party.look()
    base = party.letter(Kind.global_, round=0)
    facts = {"cases": 3, "steps": 3, "base": base.manifest.digest, "metrics": {}, "seconds": 1.0}
    world.mailbox("B").post_tensors(Slot(Kind.update, "B", 1), party.message(0), recipients=["centre"], facts=facts)
    assert ended(finish(world))
    assert "tensor names differ" in world.summary()["participation"]["B"]["refused"]["1"]


def test_rounds_after_an_extension_are_masked_too(make: Callable[..., Any]) -> None:
    from konsil.federation.control import Action
    from konsil.parties.steering import say

    worlds = [make("secure", rounds=1, extra_rounds=1), make("plain", rounds=1, extra_rounds=1)]
    for world in worlds:
        assert ended(finish(world))
        say(world.party("centre"), Action.EXTEND, rounds=1)
        assert ended(finish(world))
    assert same(*worlds)


def test_noise_is_added_before_the_mask(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from konsil.federation.noise import Noise
    from tests.parties.test_parties_privacy import KEY, floating

    monkeypatch.setattr("konsil.parties.site.Noise", lambda: Noise(KEY))
    privacy = {"clip_norm": 0.5, "noise_multiplier": 0.2}
    worlds = [floating(make(name, privacy=privacy, rounds=1)) for name in ("secure", "plain")]
    for world in worlds:
        assert ended(finish(world))
    one, other = (world.final() for world in worlds)
    assert all(np.abs(one[name] - other[name]).max() < BOUND for name in one)
