"""Hashing beside encryption: in order, the right bytes, and nothing that goes wrong there is lost."""

from __future__ import annotations

import hashlib
import threading
from io import BytesIO

import pytest

from konsil.errors import Unavailable
from konsil.federation.payload_sealed import BLOCK, Hashing, HashingSink


def test_what_is_hashed_is_what_is_written() -> None:
    file, content = BytesIO(), bytes(range(256)) * (BLOCK // 64)
    with Hashing(file) as hashing:
        sink = HashingSink(hashing)
        for begin in range(0, len(content), 65552):
            sink.write(memoryview(content)[begin : begin + 65552])
        sink.close()
        assert hashing.hexdigest() == hashlib.sha256(content).hexdigest()
    assert file.getvalue() == content
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("konsil-hash")]


class Full(BytesIO):
    def write(self, *_: object) -> int:
        raise OSError(28, "No space left on device")


def hashed(blocks: int) -> str:
    with Hashing(Full()) as hashing:
        for _ in range(blocks):
            hashing.update(b"x")
        return hashing.hexdigest()


@pytest.mark.parametrize("blocks", [1, 20])
def test_a_full_disk_is_a_sentence(blocks: int) -> None:
    with pytest.raises(Unavailable, match="Is it full"):
        hashed(blocks)
