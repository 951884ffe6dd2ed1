"""A folder as object store keeps the promises of every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from konsil.errors import BadInput, Missing, Unavailable
from konsil.storage.folder import FolderStore


@pytest.fixture
def store(tmp_path) -> FolderStore:
    return FolderStore(tmp_path)


def test_an_object_comes_back(store):
    store.put("b", "k/one", b"content")
    with store.get("b", "k/one") as stream:
        assert stream.read() == b"content"


def test_a_stream_is_sent_from_its_beginning(store):
    stream = BytesIO(b"content")
    stream.read()
    store.put("b", "k", stream, 7)
    assert store.stat("b", "k").size == 7


def test_a_stream_that_is_too_short_leaves_nothing(store):
    with pytest.raises(Unavailable):
        store.put("b", "k", BytesIO(b"short"), 7)
    assert store.list("b") == []


def test_a_half_written_file_is_not_seen(store, tmp_path):
    store.put("b", "k", b"1")
    (tmp_path / "b" / ".part-x").write_bytes(b"half")
    assert [entry.key for entry in store.list("b")] == ["k"]


def test_lists_are_sorted_by_key_and_cut_by_prefix(store):
    for key in ("r/b", "r/a", "ra", "s/c"):
        store.put("b", key, b"x")
    assert [entry.key for entry in store.list("b", "r")] == ["r/a", "r/b", "ra"]
    assert [entry.key for entry in store.list("b", "r/")] == ["r/a", "r/b"]
    assert store.folders("b") == ["r", "s"]


def test_an_empty_bucket_and_an_absent_object(store):
    assert store.list("nothing") == []
    assert store.folders("nothing") == []
    with pytest.raises(Missing):
        store.stat("nothing", "k")
    with pytest.raises(Missing), store.get("nothing", "k"):
        pass
    store.delete("nothing", "k")


def test_time_is_utc(store):
    store.put("b", "k", b"x")
    assert abs(store.stat("b", "k").modified - datetime.now(UTC)) < timedelta(seconds=5)
    assert store.now().tzinfo == UTC


@pytest.mark.parametrize("key", ["../escape", "/root", "a//b", "a/./b", "", "a\\b", "a/"])
def test_a_key_cannot_leave_its_bucket(store, key):
    with pytest.raises(BadInput):
        store.put("b", key, b"x")
