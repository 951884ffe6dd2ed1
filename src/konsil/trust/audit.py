"""The audit log: one line per event, each bound to the one before it by its hash, so that nothing is changed unnoticed.

A line is canonical JSON {event, facts, n, previous, time, hash}; `hash` is SHA-256 over the line without it,
`previous` the hash of the line before (64 zeros for the first). Whoever notes the last hash elsewhere also notices a
cut-off end and a chain that was made anew: the messages of a federation carry it (docs/formats/audit.md). A line that a
killed process wrote in part has no newline; it is removed before the next one is written.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from konsil.errors import BadInput, BadMessage
from konsil.trust.canonical import canonical, parsed
from konsil.types import Json

FIRST = "0" * 64
BLOCK = 1 << 12


class Head(NamedTuple):
    """How far a log had come: the number of its entries, and the hash of the last one."""

    entries: int
    head: str


class Published(NamedTuple):
    """A head that lies where the owner of the log cannot change it alone; `where` names the place in a sentence."""

    where: str
    head: Head


class Audit:
    """The log in one file, usually `<home>/audit.jsonl`; several processes may write it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, **facts: object) -> str:
        """Add an event, on disk when this returns; gives its hash. Facts are JSON; no patients, keys, passwords."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            number, previous = _tail(log)
            log.truncate()
            now = datetime.now(UTC).isoformat(timespec="seconds")
            line: Json = {"n": number, "time": now, "event": event, "facts": facts, "previous": previous}
            line["hash"] = _hash(line)
            log.write(canonical(line) + b"\n")
            log.flush()
            os.fsync(log.fileno())
        return str(line["hash"])

    def head(self) -> Head:
        """How far the log has come; zero entries where there is none."""
        if not self.path.is_file():
            return Head(0, FIRST)
        with self.path.open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_SH)
            return _tail(log)

    def verify(self, published: Iterable[Published] = ()) -> int:
        """Number of entries, after checking every line and every published head.

        `BadInput` names the first line that does not fit and says what happened to it: changed, missing, moved,
        exchanged or cut; or which published head the log no longer leads to. Memory: one hash per entry.
        """
        hashes = list(self._chain())
        for where, head in sorted(published, key=lambda found: found.head.entries):
            if head.entries > len(hashes):
                raise _refusal(
                    f"the audit log ends after {len(hashes)} entries, but {where} says that it had {head.entries}",
                    "entries were removed from its end",
                )
            if head.entries and hashes[head.entries - 1] != head.head:
                raise _refusal(
                    f"the audit log was rewritten: entry {head.entries} is not the one that {where} names",
                    "one of the entries up to there was changed, and the chain made anew",
                )
        return len(hashes)

    def entries(self) -> Iterator[Json]:
        """The entries as they stand, unchecked; `verify` first."""
        with self.path.open("rb") if self.path.is_file() else open(os.devnull, "rb") as log:  # noqa: PTH123
            for content in log:
                yield parsed(content.removesuffix(b"\n"), "an entry of the audit log")

    def _chain(self) -> Iterator[str]:
        """The hash of every line, each checked against the one before."""
        previous, number = FIRST, 0
        with self.path.open("rb") if self.path.is_file() else open(os.devnull, "rb") as log:  # noqa: PTH123
            for content in log:
                previous = _checked(content, number, previous)
                number += 1
                yield previous


def operator() -> str:
    """The login name of whoever runs this process; a number where the machine knows no name (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _checked(content: bytes, number: int, previous: str) -> str:
    """The hash of line `number`, if it follows the one before; else `BadInput` says what is wrong with it."""
    place = f"the audit log does not fit from line {number + 1} on"
    if not content.endswith(b"\n"):
        raise _refusal(
            f"{place}: it is cut in the middle of its last line",
            "a process was killed while it wrote (the next entry removes the rest), or the end was cut off",
        )
    try:
        line = parsed(content[:-1], "a line")
        claimed, found, n = line.pop("hash"), _hash(line), line["n"]
        before = line["previous"]
    except (BadMessage, KeyError) as error:
        raise _refusal(f"{place}: this line is no entry", "it was edited") from error
    if claimed != found:
        raise _refusal(f"{place}: this entry was edited", "its hash is not that of its content")
    if n != number:
        jumps = isinstance(n, int) and n > number
        what = "entries are missing before it" if jumps else "entries were moved or repeated"
        raise _refusal(f"{place}: {what}", f"this line is entry {n}, and should be {number}")
    if before != previous:
        raise _refusal(f"{place}: this entry was exchanged", "it does not name the one before it")
    return str(found)


def _refusal(what: str, got: str) -> BadInput:
    return BadInput(
        what,
        expected="each entry bound to the one before it",
        got=got,
        hint="Keep the file as it is, compare it with a backup, and tell the other side",
    )


def _tail(log: BinaryIO) -> Head:
    """How far a log has come; its position is then the end of the last whole line. Reads no more than that line."""
    start = log.seek(0, os.SEEK_END)
    content = b""
    while start and content.count(b"\n") < 2:
        step = min(BLOCK, start)
        start = log.seek(start - step)
        content = log.read(step) + content
    whole = content[: content.rfind(b"\n") + 1]
    log.seek(start + len(whole))
    lines = whole.splitlines()
    if not lines:
        return Head(0, FIRST)
    last = parsed(lines[-1], "the last line of the audit log")
    return Head(int(last["n"]) + 1, str(last["hash"]))


def _hash(line: Json) -> str:
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()
