"""Every vector of docs/formats/federation.md, section 11, ends as it says."""

from __future__ import annotations

import base64
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from konsil.errors import BadMessage
from konsil.federation.secure.keys import Group, MaskingKey, RoundKeys, vouched
from konsil.federation.secure.masks import MaskStream
from konsil.federation.secure.opening import Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.secure.shares import combined, digest, opened_row
from konsil.trust.identity import Identity

FOLDER = Path(__file__).parents[1] / "vectors" / "masking"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
KEYS = {name: MaskingKey.of(bytes([place]) * 32) for place, name in enumerate("ABC", 1)}
GROUP = Group("vector-run", {name: key.public for name, key in KEYS.items()})


def keys_of(me: str) -> RoundKeys:
    return RoundKeys(KEYS[me], GROUP, me, 3)


def read_key(case: Any) -> None:
    held = json.loads((FOLDER.parent / "keys.json").read_text())["A"]
    known = Identity(held["age"], base64.b64decode(held["signing"])).public
    public = vouched(case["document"], run="vector-run", site="A", keys=known)
    KEYS["B"].agreed(public)
    assert public.hex() == case["public"]


def read_row(case: Any) -> None:
    assert b"".join(opened_row(bytes.fromhex(case["row"]), keys_of("B"), "A")).hex() == case["plain"]


def read_reveal(case: Any) -> None:
    rows = {owner: [bytes.fromhex(text) for text in held] for owner, held in case["promised"].items()}
    promised = {
        o: np.frombuffer(bytes(192) + b"".join(r) + bytes(96), np.uint8).reshape(4, 3, 32) for o, r in rows.items()
    }
    # row 0 holds the secrets' digests, row 1 A's, row 2 B's: B reads its own
    found = Sum("vector-run", 3, ("A", "B", "C"), ("A", "B")).read(case["content"], "B", promised)
    assert {owner: set(shares) for owner, shares in found.items()} == {"A": {"A", "C"}, "B": {"B", "C"}}


def read_mask(case: Any) -> None:
    stream = MaskStream(bytes.fromhex(case["seed"]), "vector-run", case["round"])
    assert [*stream.take(20).tolist(), *stream.take(12).tolist()] == case["numbers"]


def read_ring(case: Any) -> None:
    ring = FixedPoint(case["cases"], case["clip_range"])
    assert ring.scale == case["scale"]
    assert ring.encoded(np.array(case["changes"]), case["of_site"]).tolist() == case["numbers"]


def read_pair(case: Any) -> None:
    assert keys_of("A").seed("B").hex() == keys_of("B").seed("A").hex() == case["seed"]
    assert keys_of("A").seed("C").hex() != case["seed"]


def read_shares(case: Any) -> None:
    """Any two of the three give the secret."""
    secret, shares = bytes.fromhex(case["secret"]), {n: bytes.fromhex(s) for n, s in enumerate(case["shares"], 1)}
    for pair in combinations(shares, 2):
        assert combined({place: shares[place] for place in pair}, 2, digest(secret)) == secret


READERS = {"key": read_key, "row": read_row, "reveal": read_reveal, "mask": read_mask, "ring": read_ring,
           "pair": read_pair, "shares": read_shares}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_vector(name: str) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text())
    if "refused" not in case:
        READERS[case["what"]](case)
        return
    with pytest.raises(BadMessage, match=case["refused"]):
        READERS[case["what"]](case)


def test_there_is_a_vector_of_every_kind() -> None:
    assert {json.loads((FOLDER / f"{name}.json").read_text())["what"] for name in NAMES} == set(READERS)
