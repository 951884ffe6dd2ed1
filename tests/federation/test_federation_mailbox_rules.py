"""What a mailbox does when others are late, greedy, dishonest, or die in the middle."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from konsil.errors import BadInput, BadMessage, BadSetting, Missing, Unavailable
from konsil.federation.mailbox import Kind, Mailbox, Slot
from konsil.federation.manifest import MANIFEST_LIMIT
from konsil.storage.folder import FolderStore
from konsil.trust.roster import gather

RUN = "run-1"
SLOT = Slot(Kind.update, "A", 1)


class Party:
    """Identities and one folder store, with mailboxes made as often as wanted."""

    def __init__(self, root: Path, store: FolderStore | None = None) -> None:
        self.root, self.store = root, store or FolderStore(root / "store")
        self.identities, self.roster = gather(["A", "B"])

    def box(self, name: str, folder: Path | None = None) -> Mailbox:
        identity = self.identities[name]
        return Mailbox(self.store, me=name, run=RUN, identity=identity, roster=self.roster, folder=folder)

    @staticmethod
    def no_message(words: str) -> Callable[[str, str], None]:
        """A `get` that finds no keys and must not be asked for a message."""

        def get(bucket: str, key: str) -> None:
            assert key.startswith("_konsil/keys/"), words
            raise Missing("there is none")

        return get

    def objects(self, kind: str = "[mp]a*") -> list[Path]:
        return sorted((self.root / "store" / "site-a").rglob(f"{kind}-*.*"))


@pytest.fixture
def party(tmp_path) -> Party:
    return Party(tmp_path)


def second_message(party: Party) -> Party:
    """Another centre's folder with the same keys, where A says something else; copied into the first bucket."""
    other = Party(party.root / "elsewhere")
    other.identities, other.roster = party.identities, party.roster
    other.box("A").post_json(SLOT, {"cases": 99}, recipients=["centre"])
    for path in other.objects():
        target = party.root / "store" / path.relative_to(other.root / "store")
        target.write_bytes(path.read_bytes())
    return other


def test_the_first_message_seen_stands_after_a_restart(party, tmp_path):
    party.box("A").post_json(SLOT, {"cases": 3}, recipients=["centre"])
    (first,) = party.box("centre", tmp_path / "home").letters()
    second_message(party)
    for path in party.objects():  # the second one now looks older than the first
        old = first.manifest.digest not in path.name and first.manifest.payload_sha256 not in path.name
        os.utime(path, (1, 1) if old else None)
    box = party.box("centre", tmp_path / "home")
    assert box.letters() == [first]
    assert "A posted a second, different message" in box.refused[0].sentence
    assert box.read_json(first) == {"cases": 3}


def test_without_a_pin_the_earlier_message_stands(party):
    party.box("A").post_json(SLOT, {"cases": 3}, recipients=["centre"])
    for path in party.objects():
        os.utime(path, (1000, 1000))
    second_message(party)
    box = party.box("centre")
    (letter,) = box.letters()
    assert box.read_json(letter) == {"cases": 3}
    assert len(box.refused) == 1


def test_the_time_of_a_message_cannot_be_changed_later(party, tmp_path):
    party.box("A").post_json(SLOT, {}, recipients=["centre"])
    (first,) = party.box("centre", tmp_path / "home").letters()
    for path in party.objects():
        os.utime(path, (1, 1))
    assert party.box("centre", tmp_path / "home").letters()[0].received == first.received


class Failing(FolderStore):
    """A store whose n-th put fails, as a full disk or a killed process would."""

    def __init__(self, path: Path, fails: int) -> None:
        super().__init__(path)
        self.left = fails

    def put(self, bucket, key, content, size=None):
        self.left -= 1
        if self.left == 0:
            raise Unavailable("the store has no room for this object")
        super().put(bucket, key, content, size)


@pytest.mark.parametrize("fails", [1, 2])
def test_a_post_that_broke_off_is_no_message_and_can_be_done_again(tmp_path, fails):
    party = Party(tmp_path, Failing(tmp_path / "store", fails))
    with pytest.raises(Unavailable, match="no room"):
        party.box("A").post_json(SLOT, {"cases": 3}, recipients=["centre"])
    assert party.box("centre").letters() == []
    party.box("A").post_json(SLOT, {"cases": 3}, recipients=["centre"])
    (letter,) = party.box("centre").letters()
    assert party.box("centre").read_json(letter) == {"cases": 3}


def test_a_huge_object_is_refused_before_it_is_read(party, monkeypatch):
    folder = party.root / "store" / "site-a" / RUN / SLOT.place
    folder.mkdir(parents=True)
    (folder / f"manifest-{'0' * 64}.json").write_bytes(b"{" * (MANIFEST_LIMIT + 1))
    box = party.box("centre")
    monkeypatch.setattr(party.store, "get", Party.no_message("it was fetched"))
    assert box.letters() == []
    assert "too long" in box.refused[0].sentence


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 300, b"konsil-manifest/1\n", b"konsil-manifest/1\n" + b"A" * 88 + b"\n{}"]
)
def test_rubbish_is_a_sentence_and_the_others_are_read(party, content):
    party.box("A").post_json(Slot(Kind.answer, "A"), {}, recipients=["centre"])
    folder = party.root / "store" / "site-a" / RUN / SLOT.place
    folder.mkdir(parents=True)
    (folder / f"manifest-{'0' * 64}.json").write_bytes(content)
    (folder / "note.txt").write_bytes(content)
    box = party.box("centre")
    assert [letter.slot.kind for letter in box.letters()] == [Kind.answer]
    assert len(box.refused) == 2
    assert all(refusal.slot == SLOT.place and refusal.sentence.endswith(".") for refusal in box.refused)


def test_json_nested_too_deep_is_refused(party):
    from konsil.trust.canonical import parsed

    with pytest.raises(BadMessage):
        parsed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "a message")


def test_streaming_needs_memory_for_a_few_chunks_only(party):
    big = {f"layer{number}": np.full(2_000_000, number, dtype=np.float32) for number in range(6)}  # 48 MB
    party.box("A").post_tensors(SLOT, big, recipients=["centre"])
    box = party.box("centre")
    (letter,) = box.letters()
    total = sum(array.nbytes for array in big.values())
    big.clear()
    tracemalloc.start()
    seen = sum(values.nbytes for _, _, values in box.stream_tensors(letter))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == total
    assert peak < 16 << 20  # six chunks of 1 MiB, blocks of 1 MiB from the store, and their copies in flight


def test_a_reader_that_stops_early_leaves_no_thread(party):
    party.box("A").post_tensors(SLOT, {"w": np.zeros(10_000_000, np.float32)}, recipients=["centre"])
    box = party.box("centre")
    stream = box.stream_tensors(box.letters()[0])
    next(stream)
    stream.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "konsil-unseal"] == []


def test_tensors_of_any_layout_arrive_as_they_look(party):
    odd = {
        "t": np.arange(12, dtype=">f4").reshape(3, 4).T,
        "s": np.float64(2.5),
        "i": np.arange(5, dtype=np.uint8)[::-1],
    }
    odd = {name: np.asarray(array) for name, array in odd.items()}
    party.box("A").post_tensors(SLOT, odd, recipients=["centre"])
    box = party.box("centre")
    found = box.read_tensors(box.letters()[0])
    for name, array in odd.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_cannot_be_sent_is_refused_before_anything_is_stored(party):
    box = party.box("A")
    with pytest.raises(BadInput, match="complex"):
        box.post_tensors(SLOT, {"c": np.zeros(3, np.complex64)}, recipients=["centre"])
    with pytest.raises(BadInput, match="name"):
        box.post_tensors(SLOT, {'a"b': np.zeros(3, np.float32)}, recipients=["centre"])
    with pytest.raises(BadInput, match="NaN"):
        box.post_json(SLOT, {"loss": float("nan")}, recipients=["centre"])
    with pytest.raises(BadInput, match="facts"):
        box.post_json(SLOT, {}, recipients=["centre"], facts={"loss": float("inf")})
    with pytest.raises(BadSetting, match="not in the roster"):
        box.post_json(SLOT, {}, recipients=["Z"])
    with pytest.raises(BadInput, match="no such round"):
        box.post_json(Slot(Kind.update, "A"), {}, recipients=["centre"])
    with pytest.raises(BadInput, match="not sent by"):
        box.post_json(Slot(Kind.charter, "A"), {}, recipients=["centre"])
    assert not (party.root / "store").exists()


def test_json_and_tensors_are_not_taken_for_each_other(party):
    party.box("A").post_json(SLOT, {}, recipients=["centre"])
    box = party.box("centre")
    (letter,) = box.letters()
    with pytest.raises(BadMessage, match="holds JSON"):
        box.read_tensors(letter)
    with pytest.raises(BadMessage, match="holds JSON"):
        list(box.stream_tensors(letter))


def test_a_manifest_is_fetched_once(party, monkeypatch):
    party.box("A").post_json(SLOT, {}, recipients=["centre"])
    box = party.box("centre")
    first = box.letters()
    monkeypatch.setattr(party.store, "get", Party.no_message("it was fetched again"))
    assert box.letters() == first


def test_a_run_name_cannot_leave_its_folder(party):
    with pytest.raises(BadInput, match="run"):
        Mailbox(party.store, me="A", run="../B", identity=party.identities["A"], roster=party.roster)


def test_the_manifest_is_the_documented_text(party):
    party.box("A").post_json(SLOT, {}, recipients=["centre"], facts={"cases": 3})
    (path,) = party.objects("manifest")
    first, signature, body = path.read_bytes().split(b"\n", 2)
    assert first == b"konsil-manifest/1"
    assert len(signature) == 88
    held = json.loads(body)
    assert held["facts"] == {"cases": 3}
    assert held["recipients"] == ["A", "centre"]
    (letter,) = party.box("centre").letters()
    assert path.name == f"manifest-{letter.manifest.digest}.json"


def test_facts_become_plain_json(party):
    facts = {"loss": np.float64(0.5), "sites": ("A", "B")}
    party.box("A").post_json(SLOT, {}, recipients=["centre"], facts=facts)
    assert party.box("centre").letters()[0].manifest.facts == {"loss": 0.5, "sites": ["A", "B"]}


def test_a_manifest_that_went_away_is_looked_for_again(party, monkeypatch):
    party.box("A").post_json(SLOT, {}, recipients=["centre"])
    box = party.box("centre")
    with monkeypatch.context() as patched:
        patched.setattr(party.store, "get", lambda *_: FolderStore(party.root / "empty").get("none", "k"))
        assert box.letters() == []
    assert "went away" in box.refused[0].sentence
    assert len(box.letters()) == 1


def test_what_updates_have_in_common_is_kept_once(party):
    tensors = {f"layer.{place}": np.zeros(2, np.float32) for place in range(3)}
    for number in (1, 2):
        party.box("A").post_tensors(Slot(Kind.update, "A", number), tensors, recipients=["centre"])
    first, second = (letter.manifest for letter in party.box("centre").letters())
    assert (first.round, second.round) == (1, 2)
    assert first.tensors is second.tensors
    assert first.software is second.software
    assert first.recipients is second.recipients


def test_a_message_that_is_not_read_costs_nothing_at_the_next_look(party):
    party.box("A").post_json(SLOT, {"cases": 3}, recipients=["centre"])
    for path in party.objects("manifest"):
        path.write_bytes(path.read_bytes()[:-9] + b"tampered\n")
    box = party.box("centre")
    tracemalloc.start()
    try:
        for _ in range(3):
            assert box.letters() == []
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            box.letters()
        assert [refusal.slot for refusal in box.refused] == [SLOT.place]
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()
