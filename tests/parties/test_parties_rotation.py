"""Keys that change, and a site that is revoked, in the middle of a run: it goes on, and the model is the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadInput, BadSetting
from konsil.federation import mailbox_keys, rotation
from konsil.federation.audit_check import contradictions, verify
from konsil.federation.enrolment_centre import revoke
from konsil.federation.mailbox import Kind, Mailbox, Slot
from konsil.federation.rotation import rotate
from konsil.federation.steps import Finish
from konsil.trust.audit import Audit
from konsil.trust.identity import Identity
from konsil.trust.membership import membership
from konsil.trust.rotation import place_of
from konsil.trust.rotation import rotation as rotation_document


@pytest.fixture
def expected(make_world: Callable[..., Any]) -> Any:
    """The model of a run in which nothing happens."""
    undisturbed = make_world("undisturbed")
    undisturbed.work()
    return undisturbed.final()["w"]


def go_on_warm(world: Any, parties: dict[str, Any], until: Callable[[], bool]) -> None:
    """Let processes that have been running all the time work on."""
    while not until():
        for name in world.names:
            parties[name].step()
            if until():
                return


def test_site_and_centre_rotate_in_the_middle_of_a_run(make_enrolled: Callable[..., Any], expected: Any) -> None:
    world = make_enrolled()
    warm = {name: world.party(name) for name in world.names}
    go_on_warm(world, warm, lambda: world.newest() == 1)
    before = {name: membership(world.home(name)).identity.public for name in world.names}
    rotate(world.home("A"))
    go_on_warm(world, warm, lambda: world.newest() == 2)
    rotate(world.home("centre"))
    rotate(world.home("A"))
    rotate(world.home("B"))
    go_on_warm(world, warm, lambda: all(isinstance(warm[name].next(), Finish) for name in world.names))
    assert np.array_equal(world.final()["w"], expected)
    assert world.summary()["sentence"] == "Finished: 3 rounds with all 3 sites (A, B, C)."
    assert world.summary()["refused"] == []
    centre, site = membership(world.home("centre")), membership(world.home("C"))
    assert centre.roster.keys_of("A") == membership(world.home("A")).identity.public != before["A"]
    assert site.roster.centre == centre.identity.public != before["centre"]


def test_everything_stays_readable_for_who_comes_later(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.work()
    for name in ("A", "centre", "A"):
        rotate(world.home(name))
    fresh = world.mailbox("centre")
    assert (
        len([letter for letter in fresh.letters() if letter.slot.sender == "A"]) == 7
    )  # answer, fingerprint, three updates, baseline, evaluation
    update = next(letter for letter in fresh.letters() if letter.slot == Slot(Kind.update, "A", 2))
    assert set(fresh.read_tensors(update)) == {"w", "n"}
    anew = Mailbox(
        world.store,
        me="centre",
        run="lines-1",
        identity=membership(world.home("centre")).identity,
        roster=membership(world.home("centre")).roster,
    )  # without pins: the rotations vouch alone
    assert [letter.slot for letter in anew.letters()] == [letter.slot for letter in fresh.letters()]
    assert anew.refused == []
    for name in world.names:
        assert verify(world.home(name)).heads > 0


@pytest.mark.parametrize("dies_in", ["write_bytes", "keep_past", "save", "publish"])
def test_a_rotation_that_is_killed_anywhere_is_made_up_for(
    make_enrolled: Callable[..., Any], expected: Any, dies_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_enrolled()
    warm = {name: world.party(name) for name in world.names}
    go_on_warm(world, warm, lambda: world.newest() == 1)
    with monkeypatch.context() as patched:
        killed = [1]

        def dies(*_: Any, **__: Any) -> None:
            if dies_in != "publish" or not killed.pop():  # the first call looks after an older rotation
                raise KeyboardInterrupt
            killed.append(0)

        patched.setattr(Identity if dies_in == "save" else rotation, dies_in, dies)
        with pytest.raises(KeyboardInterrupt):
            rotate(world.home("A"))
    go_on_warm(world, warm, lambda: world.newest() == 2)
    rotate(world.home("A"))
    world.work()
    assert np.array_equal(world.final()["w"], expected)
    assert world.summary()["refused"] == []
    assert not (world.home("A") / "keys" / mailbox_keys.PENDING).exists()


def test_an_old_key_signs_nothing_new_whatever_the_time(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.work_until(lambda: world.newest() == 1)
    stolen = membership(world.home("A"))
    rotate(world.home("A"))
    thief = Mailbox(world.store, me="A", run="lines-1", identity=stolen.identity, roster=stolen.roster)
    thief.post_json(Slot(Kind.update, "A", 3), {}, recipients=["centre"])
    for path in (world.store.path / "site-a").rglob("rounds/0003/**/*"):
        os.utime(path, (1, 1))
    box = world.mailbox("centre")
    assert Slot(Kind.update, "A", 3) not in {letter.slot for letter in box.letters()}
    assert "not that of its sender" in box.refused[0].sentence


def test_stolen_keys_that_were_rotated_by_the_thief_are_noticed(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    stolen = membership(world.home("A")).identity
    document = rotation_document("A", stolen, Identity.generate(), [])
    world.store.put("site-a", place_of(stolen.public), document)
    with pytest.raises(BadSetting, match="somebody else has already replaced the keys"):
        rotate(world.home("A"))
    assert membership(world.home("A")).identity.public == stolen.public


def test_a_revoked_site_is_not_waited_for_and_enters_nothing_more(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled(quorum={"sites": 2})
    warm = {name: world.party(name) for name in world.names}
    go_on_warm(world, warm, lambda: world.newest() == 1)
    world.party("C").step()  # C's update of round 2 lies there, not averaged yet
    revoke(world.home("centre"), "C")
    go_on_warm(
        world, {**warm, "C": warm["B"]}, lambda: all(isinstance(warm[name].next(), Finish) for name in ("centre", "A"))
    )
    letters = {letter.slot: letter for letter in world.mailbox("centre").letters()}
    included = [set(letters[Slot(Kind.global_, "centre", number)].manifest.facts["included"]) for number in (1, 2, 3)]
    assert included == [{"A", "B", "C"}, {"A", "B"}, {"A", "B"}]
    assert letters[Slot(Kind.global_, "centre", 2)].manifest.recipients == ("A", "B", "centre")
    assert "A and B in every round; C was revoked after round 1" in world.summary()["sentence"]


def test_a_site_that_is_revoked_while_it_rotates_stays_out(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    warm = world.mailbox("centre")
    warm.letters()
    rotate(world.home("C"))
    revoke(world.home("centre"), "C")
    world.mailbox("C").post_json(Slot(Kind.answer, "C"), {}, recipients=["centre"])
    warm._keys.follow("C")  # the process has not looked into its home yet
    assert warm.letters() == []
    assert warm.revoked == {"C"}


def test_the_log_tells_what_was_done_and_notices_what_was_changed(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.work()
    log = Audit(world.home("A") / "audit.jsonl")
    told = [entry["event"] for entry in log.entries()]
    assert told[:2] == ["joined", "charter accepted"]
    assert told.count("message posted") == 7
    assert told.count("message received") == 8
    assert "model stored" in told
    assert verify(world.home("A")).heads == 7
    at_centre = list(Audit(world.home("centre") / "audit.jsonl").entries())
    noted = [entry["facts"] for entry in at_centre if entry["facts"].get("sender") == "A"]
    assert all(found["audit"]["entries"] > 0 for found in noted)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-5]))
    with pytest.raises(BadInput, match=r"ends after \d+ entries, but the message lines-1/"):
        verify(world.home("A"))
    log.path.unlink()
    for line in lines:
        Audit(log.path).append("something else", length=len(line))
    with pytest.raises(BadInput, match="was rewritten"):
        verify(world.home("A"))


def test_the_centre_notices_a_site_that_made_its_log_anew(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.work_until(lambda: world.newest() == 2)
    log = Audit(world.home("A") / "audit.jsonl")
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-3]))
    world.work()
    found = verify(world.home("centre"))
    assert found.others
    assert all(sentence.startswith("A has ") for sentence in found.others)
    assert verify(world.home("B")).others == ()


def received(place: str, entries: int, head: str = "") -> dict[str, Any]:
    facts = {
        "run": "r",
        "place": place,
        "sender": "A",
        "audit": {"entries": entries, "head": head or f"{entries:064d}"},
    }
    return {"event": "message received", "facts": facts}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ([("rounds/0001/updates/A", 5), ("rounds/0002/updates/A", 7), ("evaluation/A", 6)], None),
        ([("rounds/0002/updates/A", 7), ("rounds/0001/updates/A", 5)], None),  # seen late, written early
        ([("rounds/0001/updates/A", 7), ("rounds/0002/updates/A", 6)], "has shortened its audit log"),
        ([("rounds/0001/updates/A", 7), ("rounds/0002/updates/A", 7)], "has shortened its audit log"),
        ([("answers/A", 7, "a"), ("fingerprints/A", 7, "b")], "has rewritten its audit log"),
    ],
)
def test_heads_of_others_are_compared(log: list[Any], words: str | None) -> None:
    told = contradictions(received(*entry) for entry in log)
    assert (told == []) if words is None else (len(told) == 1 and words in told[0])


def test_refusals_are_told_once(make_enrolled: Callable[..., Any]) -> None:
    world = make_enrolled()
    world.store.put("site-a", "lines-1/rubbish/note", b"x")
    for _ in range(3):
        world.mailbox("centre").letters()
    told = [entry for entry in Audit(world.home("centre") / "audit.jsonl").entries() if "refused" in entry["event"]]
    assert [entry["facts"]["place"] for entry in told] == ["rubbish"]
