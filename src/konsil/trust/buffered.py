"""A source of bytes from which exactly so many, or a line, can be taken, and of which one can know whether it ended."""

from __future__ import annotations

from typing import Protocol

from konsil.errors import BadMessage

BLOCK = 1 << 16


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty only at the end."""


class Buffered:
    """What was read of `source` and not yet taken; never more than was asked for and a block."""

    def __init__(self, source: Source) -> None:
        self._source, self._held, self._ended = source, bytearray(), False

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        self._fill(size)
        with memoryview(self._held) as view:
            taken = bytes(view[:size])
        del self._held[:size]
        return taken

    def has_ended(self) -> bool:
        """Whether nothing is left."""
        self._fill(1)
        return not self._held

    def line(self, limit: int) -> bytes:
        """The next line with its end, at most `limit` bytes; `BadMessage` for a longer one and for one without end."""
        self._fill(limit)
        end = self._held.find(b"\n", 0, limit) + 1
        if not end:
            what = "its end is missing" if len(self._held) < limit else "its header is not as age writes it"
            raise BadMessage(f"a payload cannot be opened: {what}", hint="Ask the sender to post it again")
        return self.take(end)

    def _fill(self, size: int) -> None:
        while len(self._held) < size and not self._ended:
            block = self._source.read(BLOCK)
            self._ended = not block
            self._held += block
