"""Our age files are age's: the library pyrage reads what we write, we read what it writes, and both refuse the same."""

from __future__ import annotations

from io import BytesIO

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.errors import BadMessage
from konsil.trust.age_header import raw_key
from konsil.trust.buffered import Buffered
from konsil.trust.envelope import seal, unseal
from konsil.trust.identity import Identity

A, B, C = (Identity.generate() for _ in range(3))
CHUNK = 1 << 16
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK)
CONTENT = bytes(range(256)) * (3 * CHUNK // 256)


class Drop(BytesIO):
    """Hands out a few bytes at a time, as a socket may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1000))


def ours(envelope: bytes, identity: Identity = A) -> bytes:
    sink = BytesIO()
    unseal(BytesIO(envelope), sink, identity)
    return sink.getvalue()


def made(content: bytes, *identities: Identity) -> bytes:
    sink = BytesIO()
    seal(Drop(content), sink, [identity.public.age for identity in identities])
    return sink.getvalue()


def theirs(content: bytes, *identities: Identity) -> bytes:
    return pyrage.encrypt(content, [identity.age.to_public() for identity in identities])


@pytest.mark.parametrize("size", SIZES)
def test_the_library_and_we_read_each_other(size):
    content = CONTENT[:size]
    for identity in (A, B):
        assert pyrage.decrypt(made(content, A, B), [identity.age]) == content
        assert ours(theirs(content, A, B), identity) == content


def test_two_hundred_recipients_fit():
    many = [Identity.generate() for _ in range(200)]
    assert ours(made(b"hello", *many), many[-1]) == b"hello"


def test_keys_are_read_out_of_their_text():
    public = A.age.to_public()
    assert len({raw_key(str(public)), raw_key(str(A.age)), raw_key(str(B.age))}) == 3
    assert ours(made(b"x", A)) == b"x"


@pytest.mark.parametrize("make", [made, theirs])
def test_every_changed_byte_of_a_header_and_every_cut_is_refused(make):
    envelope = make(b"content", A)
    for place in range(len(envelope)):
        for damaged in (envelope[:place], envelope[:place] + bytes([envelope[place] ^ 1]) + envelope[place + 1 :]):
            with pytest.raises(BadMessage):
                ours(damaged)


def test_a_chunk_cannot_be_moved_left_out_or_repeated():
    envelope = made(CONTENT, A)
    start, step = len(envelope) - 3 * (CHUNK + 16), CHUNK + 16
    head, chunks = envelope[:start], [envelope[start + n * step : start + (n + 1) * step] for n in range(3)]
    for order in ((1, 0, 2), (0, 2), (0, 0, 1, 2), (0, 1), (0, 1, 2, 2)):
        with pytest.raises(BadMessage):
            ours(head + b"".join(chunks[number] for number in order))


@pytest.mark.parametrize(
    "stanza",
    [
        b"-> X25519 AAAA\nAAAA\n",
        b"-> X25519\n" + b"A" * 43 + b"\n",
        b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n",  # a share of low order
        b"-> X25519 " + b"A" * 43 + b"=\n" + b"A" * 43 + b"\n",
        b"-> X25519 " + b"A" * 42 + b"B\n" + b"A" * 43 + b"\n",  # not canonical
        b"-> " + b"A" * 5000 + b"\n\n",
        b"X25519\n",
    ],
)
def test_a_malformed_stanza_is_refused_as_the_library_refuses_it(stanza):
    version, _, rest = made(b"x", A).partition(b"\n")
    envelope = version + b"\n" + stanza + rest
    with pytest.raises(BadMessage):
        ours(envelope)
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(envelope, [A.age])


def test_an_endless_header_is_not_gathered():
    class Endless:
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += 1
            return b"age-encryption.org/v1\n" if self.given == 1 else b"-> other\n\n" * 1000

    source = Endless()
    with pytest.raises(BadMessage):
        unseal(source, BytesIO(), A)
    assert source.given < 200


@given(st.binary(max_size=300))
def test_no_bytes_make_it_do_anything_but_refuse(junk):
    for envelope in (junk, b"age-encryption.org/v1\n" + junk):
        with pytest.raises(BadMessage):
            ours(envelope)


def test_taking_gives_exactly_what_was_asked_for():
    source = Buffered(Drop(CONTENT))
    assert source.take(CHUNK + 1) == CONTENT[: CHUNK + 1]
    assert not source.has_ended()
    assert source.take(3 * CHUNK) == CONTENT[CHUNK + 1 :]
    assert source.has_ended()
    assert source.take(1) == b""
