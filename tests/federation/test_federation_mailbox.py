"""A mailbox between a centre and two sites, over a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from konsil.errors import BadInput, BadMessage
from konsil.federation.mailbox import Kind, Mailbox, Slot
from konsil.federation.payload import TensorSource
from konsil.storage.folder import FolderStore
from konsil.trust.roster import gather

RUN = "run-1"
TENSORS = {
    "b.weight": np.arange(700_000, dtype=np.float32).reshape(7, 100, 1000),
    "a.steps": np.array(3, dtype=np.int64),
    "a.empty": np.empty((0, 4), dtype=np.float16),
}


@pytest.fixture
def boxes(tmp_path: Path) -> dict[str, Mailbox]:
    store = FolderStore(tmp_path)
    identities, roster = gather(["A", "B"])
    return {
        name: Mailbox(store, me=name, run=RUN, identity=identity, roster=roster)
        for name, identity in identities.items()
    }


def test_json_travels_and_keeps_its_facts(boxes):
    boxes["centre"].post_json(Slot(Kind.charter, "centre"), {"title": "T"}, recipients=["A", "B"], facts={"rounds": 3})
    (letter,) = boxes["A"].letters()
    assert letter.slot == Slot(Kind.charter, "centre")
    assert letter.manifest.facts == {"rounds": 3}
    assert boxes["A"].read_json(letter) == {"title": "T"}
    assert boxes["A"].refused == []


def test_tensors_travel_exactly_in_their_order(boxes):
    slot = Slot(Kind.update, "A", 1)
    boxes["A"].post_tensors(slot, TENSORS, recipients=["centre"])
    (letter,) = boxes["centre"].letters()
    found = boxes["centre"].read_tensors(letter)
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_chunks_are_small_and_put_together_give_the_tensor(boxes):
    boxes["A"].post_tensors(Slot(Kind.update, "A", 1), TENSORS, recipients=["centre"])
    (letter,) = boxes["centre"].letters()
    flat = np.zeros(700_000, dtype=np.float32)
    sizes = []
    for name, offset, values in boxes["centre"].stream_tensors(letter):
        sizes.append(values.nbytes)
        if name == "b.weight":
            flat[offset : offset + values.size] = values
    assert max(sizes) <= 1 << 20
    np.testing.assert_array_equal(flat, TENSORS["b.weight"].reshape(-1))


def test_the_inside_is_a_plain_safetensors_file():
    source, parts = TensorSource(TENSORS), []
    while part := source.read(8192):
        parts.append(part)
    found = load(b"".join(parts))
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)


def test_sites_do_not_see_each_other(boxes):
    boxes["A"].post_json(Slot(Kind.answer, "A"), {"accepted": True}, recipients=["centre"])
    assert boxes["B"].letters() == []
    assert len(boxes["centre"].letters()) == 1


def test_posting_twice_gives_back_the_first(boxes):
    slot = Slot(Kind.answer, "A")
    first = boxes["A"].post_json(slot, {"accepted": True}, recipients=["centre"])
    second = boxes["A"].post_json(slot, {"accepted": False}, recipients=["centre"])
    assert second == first
    assert boxes["centre"].read_json(boxes["centre"].letters()[0]) == {"accepted": True}


def test_a_message_for_others_is_refused_in_a_sentence(boxes):
    boxes["centre"].post_json(Slot(Kind.charter, "centre"), {}, recipients=["A"])
    assert boxes["B"].letters() == []
    assert "not addressed to B" in boxes["B"].refused[0].sentence


def test_nobody_posts_for_somebody_else(boxes):
    with pytest.raises(BadInput, match="somebody else"):
        boxes["A"].post_json(Slot(Kind.answer, "B"), {}, recipients=["centre"])


def test_a_payload_changed_after_posting_is_refused_when_read(boxes, tmp_path):
    boxes["A"].post_tensors(Slot(Kind.update, "A", 1), TENSORS, recipients=["centre"])
    (payload,) = tmp_path.rglob("payload-*")
    content = bytearray(payload.read_bytes())
    content[-5] ^= 1
    payload.write_bytes(content)
    (letter,) = boxes["centre"].letters()
    with pytest.raises(BadMessage):
        boxes["centre"].read_tensors(letter)
    with pytest.raises(BadMessage):
        list(boxes["centre"].stream_tensors(letter))
