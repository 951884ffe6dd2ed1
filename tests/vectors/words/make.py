"""Makes the vectors of docs/formats/federation.md, section 6: python tests/vectors/words/make.py

Two kinds. With `objects`: what lies in the buckets (base64), who looks (`me`) and whether the message stands. With
`messages`: what a bucket holds, as kind, sender, round, seconds and facts, and the course of the run that follows from
it; a reader in another language can be held against them without any key. Keys are those of ../keys.json.
"""

from __future__ import annotations

import base64
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any

from konsil.federation.manifest import Manifest
from konsil.federation.slot import Kind, Slot
from konsil.trust.canonical import canonical

HERE = Path(__file__).parent
BASE = runpy.run_path(str(HERE.parent / "make.py"))
CHARTER = {"run": "vector-run", "sites": ["A", "B", "C"], "rounds": 3, "extra_rounds": 2}
RELEASED = {"outcome": "released", "sentence": "Finished.", "round": 3, "last": 3}


def posted(slot: Slot, facts: dict[str, Any], signer: str | None = None) -> dict[str, bytes]:
    """Both objects of a message that says `facts`, to everybody."""
    payload = BASE["sealed"](canonical(facts), "A", "B", "centre")
    manifest = Manifest(
        run=BASE["RUN"],
        kind=slot.kind,
        round=slot.round,
        sender=slot.sender,
        recipients=("A", "B", "centre"),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_size=len(payload),
        tensors=None,
        facts=facts,
        created="2026-11-21T06:00:00Z",
        software={"konsil": "0.1.0"},
    )
    return BASE["objects"](BASE["signed"](manifest.as_json(), signer or slot.sender), payload, slot)


def in_buckets() -> dict[str, dict[str, Any]]:
    """Messages as bytes."""
    pause = Slot(Kind.control, "centre", 1), {"action": "pause", "why": "maintenance"}
    farewell = Slot(Kind.leave, "A"), {"why": "scanner replaced"}
    return {
        "control": case("a word of the operator", "A", "stands", "global", posted(*pause)),
        "control_by_site": case("A speaks for the operator", "B", "refused", "global", posted(*pause, signer="A")),
        "control_in_site_bucket": case("a word in A's bucket", "centre", "refused", "site-a", posted(*pause)),
        "leave": case("A leaves", "centre", "stands", "site-a", posted(*farewell)),
        "leave_by_another": case("B says that A left", "centre", "refused", "site-b", posted(*farewell, signer="B")),
    }


def case(about: str, me: str, expect: str, bucket: str, objects: dict[str, bytes]) -> dict[str, Any]:
    """One vector with objects."""
    held = {key: base64.b64encode(content).decode() for key, content in objects.items()}
    return {"about": about, "me": me, "expect": expect, "objects": {bucket: held}}


def word(number: int, seconds: int, action: str, **facts: Any) -> list[Any]:
    """A control message."""
    return ["control", "centre", number, seconds, {"action": action, "why": "", **facts}]


def made(last: int) -> list[Any]:
    """Global models up to round `last`, one a minute."""
    facts = {"included": {}, "refused": {}, "missing": []}
    return [["global", "centre", number, 60 * number, facts] for number in range(last + 1)]


def over(seconds: int = 300, number: int | None = None, **facts: Any) -> list[Any]:
    """A last word."""
    return ["final", "centre", number, seconds, {**RELEASED, **facts}]


def courses() -> dict[str, dict[str, Any]]:
    """Messages as facts, and what follows."""
    ended = [*made(3), over()]
    return {
        "paused": course("a pause", [word(1, 70, "pause")], paused=True),
        "resumed": course("resumed", [word(1, 70, "pause"), word(2, 90, "resume")], pauses=[[70, 90]]),
        "paused_twice": course("a pause in a pause does nothing", [word(1, 70, "pause"), word(2, 80, "pause"),
                               word(3, 90, "resume")], pauses=[[70, 90]]),
        "resumed_unpaused": course("resuming what is not paused does nothing", [word(1, 70, "resume")]),
        "gap": course("number 2 waits for number 1", [word(2, 70, "pause")]),
        "unknown": course("an unknown word has a number", [word(1, 70, "dance"), word(2, 80, "pause")], paused=True),
        "aborted": course("an abort", [word(1, 70, "abort", why="wrong")], aborted=True),
        "excluded": course("a site is excluded", [word(1, 70, "exclude", site="B")], excluded=["B"]),
        "excluded_stranger": course("a stranger cannot be excluded", [word(1, 70, "exclude", site="Z")]),
        "left": course("a site leaves", [["leave", "C", None, 70, {"why": ""}]], left=["C"]),
        "extended": course("two rounds more", [*ended, word(1, 400, "extend", rounds=2, after=3)], begin=3, end=5),
        "extended_too_far": course("three rounds more than agreed", [*ended, word(1, 400, "extend", rounds=3, after=3)],
                                   last=3),
        "extended_too_early": course("the run has not ended", [*made(2), word(1, 400, "extend", rounds=2, after=3)]),
        "extended_elsewhere": course("from another round", [*ended, word(1, 400, "extend", rounds=2, after=2)], last=3),
        "extended_after_abort": course("an aborted run stays aborted", [*made(3), over(outcome="aborted"),
                                       word(1, 400, "extend", rounds=2, after=3)], last=3),
        "extended_twice": course("one round, then another", [*ended, word(1, 400, "extend", rounds=1, after=3),
                                 *made(4)[4:], over(500, 3, round=4, last=4),
                                 word(2, 600, "extend", rounds=1, after=4)], begin=4, end=5),
    }  # fmt: skip


def course(about: str, messages: list[Any], **expect: Any) -> dict[str, Any]:
    """One vector with messages; what is not named is as in the charter."""
    plain = {"begin": 0, "end": 3, "last": None, "paused": False, "aborted": False, "excluded": [], "left": [],
             "pauses": []}  # fmt: skip
    return {"about": about, "charter": CHARTER, "messages": messages, "expect": {**plain, **expect}}


if __name__ == "__main__":
    for name, content in {**in_buckets(), **courses()}.items():
        (HERE / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
