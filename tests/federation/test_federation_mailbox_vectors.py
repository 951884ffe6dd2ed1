"""Every test vector of docs/formats/federation.md ends as its header says."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from konsil.errors import BadMessage
from konsil.federation.mailbox import Mailbox
from konsil.storage.folder import FolderStore
from konsil.trust.identity import Identity
from konsil.trust.roster import Roster

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.stem for path in VECTORS.glob("*.json") if path.stem != "keys")
CONV = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(scope="module")
def identities() -> dict[str, Identity]:
    held = json.loads((VECTORS / "keys.json").read_text())
    return {name: Identity(pair["age"], base64.b64decode(pair["signing"])) for name, pair in held.items()}


@pytest.fixture
def box(tmp_path, identities) -> Mailbox:
    public = {name: identity.public for name, identity in identities.items()}
    roster = Roster(centre=public["centre"], sites={"A": public["A"], "B": public["B"]})
    store = FolderStore(tmp_path)
    return Mailbox(store, me="centre", run="vector-run", identity=identities["centre"], roster=roster)


def case_of(name: str, folder: Path) -> dict:
    """Read a vector and lay its objects into the folder store."""
    case = json.loads((VECTORS / f"{name}.json").read_text())
    for key, content in case["site-a"].items():
        path = folder / "site-a" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    return case


STANDARD = {
    "valid": ["valid"],
    "truncated": ["payload_truncated", "manifest_truncated", "age_truncated", "tensor_cut"],
    "flipped": ["payload_flipped", "manifest_flipped", "age_flipped"],
    "trailing": ["payload_trailing", "manifest_trailing", "age_trailing", "tensor_trailing"],
    "wrong key": ["wrong_signer", "age_wrong_key"],
    "wrong run": ["wrong_run"],
    "wrong round": ["wrong_round"],
    "wrong sender": ["wrong_sender", "wrong_bucket"],
    "replayed": ["replayed_run", "replayed_round", "replayed_kind"],
    "unknown version": ["unknown_version"],
}


def test_every_kind_of_wrong_has_a_vector():
    assert {name for names in STANDARD.values() for name in names} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_vector(name, box, tmp_path):
    case = case_of(name, tmp_path)
    letters = box.letters()
    if case["expect"] == "refused when listed":
        assert letters == []
        assert box.refused
        for refusal in box.refused:  # for its own reason, and for no other
            assert re.search(case["sentence"], refusal.sentence), box.refused
        return
    (letter,) = letters
    if case["expect"] == "refused when opened":
        with pytest.raises(BadMessage, match=case["sentence"]):
            box.read_tensors(letter)
        with pytest.raises(BadMessage, match=case["sentence"]):
            list(box.stream_tensors(letter))
        return
    np.testing.assert_array_equal(box.read_tensors(letter)["conv.weight"], CONV)
    assert [bool(re.search(case["sentence"], refusal.sentence)) for refusal in box.refused] == (
        [True] if case["expect"] == "first stands" else []
    )
