"""age envelopes: for everybody named and nobody else, and never a byte that is not the sender's."""

from __future__ import annotations

from io import BytesIO

import pyrage
import pytest

from konsil.errors import BadMessage, Missing, Unavailable
from konsil.trust.envelope import seal, unseal
from konsil.trust.identity import Identity

A, B, C = (Identity.generate() for _ in range(3))
CONTENT = bytes(range(256)) * 600  # three chunks of 64 KiB


def sealed(content: bytes, *identities: Identity) -> bytes:
    sink = BytesIO()
    seal(BytesIO(content), sink, [identity.public.age for identity in identities])
    return sink.getvalue()


def inside(envelope: bytes, identity: Identity) -> bytes:
    sink = BytesIO()
    unseal(BytesIO(envelope), sink, identity)
    return sink.getvalue()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 153600])
def test_every_recipient_reads_it(size):
    envelope = sealed(CONTENT[:size], A, B)
    assert inside(envelope, A) == inside(envelope, B) == CONTENT[:size]


def test_the_ordinary_tool_reads_it():
    assert pyrage.decrypt(sealed(CONTENT, A), [A.age]) == CONTENT


def test_nobody_else_reads_it():
    with pytest.raises(BadMessage, match="not sealed for this party"):
        inside(sealed(CONTENT, A, B), C)


def test_cuts_additions_and_changes_are_refused():
    envelope = sealed(CONTENT, A)
    header = envelope.index(b"\n---") + 60
    for length in (0, 10, header, header + 70000, len(envelope) - 1):
        with pytest.raises(BadMessage):
            inside(envelope[:length], A)
    with pytest.raises(BadMessage):
        inside(envelope + b"\0", A)
    for place in (5, 30, header, header + 70000, len(envelope) - 1):
        with pytest.raises(BadMessage):
            inside(envelope[:place] + bytes([envelope[place] ^ 1]) + envelope[place + 1 :], A)


class Broken(BytesIO):
    def read(self, *_):
        raise Unavailable("the store's connection broke")

    def write(self, *_):
        raise OSError(28, "No space left on device")


def test_an_error_of_the_source_keeps_its_sentence():
    with pytest.raises(Unavailable, match="connection broke"):
        unseal(Broken(), BytesIO(), A)


def test_a_full_disk_is_a_sentence():
    with pytest.raises(Unavailable, match="Is it full"):
        seal(BytesIO(CONTENT), Broken(), [A.public.age])


def test_missing_is_not_swallowed():
    class Gone(BytesIO):
        def read(self, *_):
            raise Missing("it is gone")

    with pytest.raises(Missing):
        unseal(Gone(), BytesIO(), A)
