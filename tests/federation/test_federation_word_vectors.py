"""Every vector of docs/formats/federation.md, section 6, ends as it says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from konsil.federation.charter import parse_charter
from konsil.federation.course import course_of
from konsil.federation.holdings import Holdings, Note
from konsil.federation.mailbox import Mailbox
from konsil.federation.slot import Kind, Slot
from konsil.storage.folder import FolderStore
from konsil.trust.identity import Identity
from konsil.trust.roster import Roster
from tests.federation.notes import at

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted((VECTORS / "words").glob("*.json"))}
AS_BYTES = [name for name, case in CASES.items() if "objects" in case]
AS_FACTS = [name for name, case in CASES.items() if "messages" in case]


def identities() -> dict[str, Identity]:
    held = json.loads((VECTORS / "keys.json").read_text())
    return {name: Identity(pair["age"], base64.b64decode(pair["signing"])) for name, pair in held.items()}


@pytest.mark.parametrize("name", AS_BYTES)
def test_a_word_stands_or_is_refused(name: str, tmp_path: Path) -> None:
    case, keys = CASES[name], identities()
    for bucket, objects in case["objects"].items():
        for key, content in objects.items():
            FolderStore(tmp_path).put(bucket, key, base64.b64decode(content))
    public = {owner: identity.public for owner, identity in keys.items()}
    roster = Roster(centre=public["centre"], sites={"A": public["A"], "B": public["B"]})
    box = Mailbox(FolderStore(tmp_path), me=case["me"], run="vector-run", identity=keys[case["me"]], roster=roster)
    letters = box.letters()
    assert (len(letters), bool(box.refused)) == ((1, False) if case["expect"] == "stands" else (0, True))
    for letter in letters:
        assert box.read_json(letter) == letter.manifest.facts


@pytest.mark.parametrize("name", AS_FACTS)
def test_the_course_follows_from_the_messages(name: str) -> None:
    case: dict[str, Any] = CASES[name]
    notes = {Slot(Kind(kind), sender, number): Note(at(seconds), facts=facts)
             for kind, sender, number, seconds, facts in case["messages"]}  # fmt: skip
    found = course_of(Holdings("A", notes), parse_charter(case["charter"]))
    assert case["expect"] == {
        "begin": found.begin,
        "end": found.end,
        "last": found.last,
        "paused": found.paused is not None,
        "aborted": found.aborted is not None,
        "excluded": list(found.excluded),
        "left": list(found.left),
        "pauses": [[(moment - at(0)).total_seconds() for moment in pause] for pause in found.pauses],
    }


def test_there_are_vectors_of_both_kinds() -> None:
    assert len(AS_BYTES) >= 5
    assert len(AS_FACTS) >= 16
