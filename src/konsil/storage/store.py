"""What every object store can do for us: whole objects under a key in a bucket, listed by prefix, and the time of day.

A bucket holds objects; a key is a path of segments joined by `/` (no empty segment, no `.` and `..`). An object appears
whole or not at all, and putting it again replaces it. Nothing here depends on conditional writes, versions or ETags,
because not every S3 server has them. Times are the store's clock in UTC, so that sites with wrong clocks agree about
deadlines.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from konsil.errors import BadInput


class Readable(Protocol):
    """A stream of bytes that is read once, from the beginning to the end."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, all that is left if negative; empty only at the end."""


class Rewindable(Readable, Protocol):
    """A stream that can be sent a second time when the connection broke."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position."""


@dataclass(frozen=True)
class Entry:
    """One object: its key, its size in bytes and when the store received it (the store's clock, UTC)."""

    key: str
    size: int
    modified: datetime


Entries: TypeAlias = list[Entry]  # inside the classes `list` is a method
Names: TypeAlias = list[str]


class Store(Protocol):
    """An object store.

    Every method raises `Missing` for an object that is not there, `BadSetting` for a wrong address, bucket or
    credential, and `Unavailable` when the server did not do its part (after some retries).
    """

    def put(self, bucket: str, key: str, content: bytes | Rewindable, size: int | None = None) -> None:
        """Store an object, whole or not at all. A stream is sent from its beginning and needs its `size` in bytes."""

    def get(self, bucket: str, key: str) -> AbstractContextManager[Readable]:
        """Open an object for reading, in constant memory."""

    def list(self, bucket: str, prefix: str = "") -> Entries:
        """All objects whose key begins with `prefix`, sorted by key."""

    def folders(self, bucket: str, prefix: str = "") -> Names:
        """The names (one segment each, sorted) that have objects below them directly under `prefix`."""

    def stat(self, bucket: str, key: str) -> Entry:
        """Size and time of one object."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; it is no error if it is not there."""

    def now(self) -> datetime:
        """The store's clock, UTC."""


def checked_key(key: str) -> str:
    """The key itself, if every segment of it names something; `BadInput` otherwise."""
    segments = key.split("/")
    if any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in segments):
        raise BadInput("an object's key is not usable", expected="segments joined by '/', none empty, '.' or '..'")
    return key
