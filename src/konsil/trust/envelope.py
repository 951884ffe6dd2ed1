"""Sealed payloads: the published age format (C2SP age.md, v1), X25519 recipients, in constant memory.

age wraps one random file key for each recipient and cuts the content into authenticated chunks of 64 KiB, so a missing
end, a changed byte and bytes after the end are refused. It does not say who wrote a file and has no place for "this is
round 3 of that run": the signed manifest beside the payload binds both (docs/formats/federation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyrage

from konsil.errors import BadMessage, KonsilError, Unavailable
from konsil.trust.identity import Identity


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty only at the end."""


class Sink(Protocol):
    """Where bytes go to."""

    def write(self, content: bytes, /) -> int:
        """Take all of `content`."""

    def flush(self) -> None:
        """Nothing more comes for the moment."""


def seal(source: Source, sink: Sink, recipients: Sequence[str]) -> None:
    """Encrypt `source` into `sink` for every age recipient (`age1…`). A stranger sees their number only.

    `Unavailable` if the sink does not take it.
    """
    keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    try:
        pyrage.encrypt_io(source, sink, keys)
    except (pyrage.EncryptError, OSError) as error:
        raise full_disk() from error


def unseal(source: Source, sink: Sink, identity: Identity) -> None:
    """Decrypt `source` into `sink`; `BadMessage` if it is not an intact age file for a key of this identity.

    Chunks reach the sink as soon as each is authenticated, so what came before a failure must be thrown away by the
    caller. An error that `source` or `sink` raise as a `KonsilError` passes through unchanged.
    """
    watched = _Watched(source)
    try:
        pyrage.decrypt_io(watched, sink, identity.openers)
    except KonsilError:
        raise
    except (pyrage.DecryptError, OSError) as error:
        if watched.error is not None:
            raise watched.error from error
        raise refusal(str(error)) from error


class _Watched:
    """A source that remembers its own error, because pyrage puts another in its place."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.error: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._source.read(size)
        except BaseException as error:
            self.error = error
            raise


def full_disk() -> Unavailable:
    """The sentence for a sealed payload that could not be put aside."""
    return Unavailable("a payload could not be written to this computer's disk", hint="Is it full?")


def refusal(reason: str) -> BadMessage:
    """The sentence for what pyrage says, without its wording where that is cryptic."""
    if "No matching keys" in reason:
        return BadMessage("a payload cannot be opened: it was not sealed for this party's key")
    if "truncated" in reason or "whole buffer" in reason:
        return BadMessage("a payload cannot be opened: its end is missing", hint="Ask the sender to post it again")
    if "eader" in reason:
        return BadMessage("a payload cannot be opened: it is not an age file", expected="age-encryption.org/v1")
    return BadMessage("a payload cannot be opened: bytes were changed, missing or added after sealing")
