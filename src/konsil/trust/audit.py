"""The audit log: one line per event, each bound to the one before it by its hash, so that nothing is changed unnoticed.

A line is canonical JSON {event, facts, n, previous, time, hash}; `hash` is SHA-256 over the line without it,
`previous` the hash of the line before (64 zeros for the first). Whoever notes the last hash elsewhere also notices a
cut-off end. A line that a killed process wrote in part has no newline; it is removed before the next one is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from konsil.errors import BadInput, BadMessage
from konsil.trust.canonical import canonical, parsed
from konsil.types import Json

FIRST = "0" * 64


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
            now = datetime.now(UTC).isoformat(timespec="seconds")
            line: Json = {"n": number, "time": now, "event": event, "facts": facts, "previous": previous}
            line["hash"] = _hash(line)
            log.write(canonical(line) + b"\n")
            log.flush()
            os.fsync(log.fileno())
        return str(line["hash"])

    def verify(self) -> int:
        """Number of events, after checking every line; `BadInput` names the first line that does not fit."""
        previous, number = FIRST, 0
        for content in self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else []:
            previous = _checked(content, number, previous)
            number += 1
        return number


def _checked(content: bytes, number: int, previous: str) -> str:
    """The hash of line `number`, if it follows the one before."""
    try:
        line = parsed(content.removesuffix(b"\n"), "a line")
        good = content.endswith(b"\n") and line["n"] == number and line["previous"] == previous
        if good and line.pop("hash") == (found := _hash(line)):
            return found
    except (BadMessage, KeyError):
        pass
    raise BadInput(
        f"the audit log does not fit from line {number + 1} on",
        expected="each line bound to the one before it",
        hint="It was edited or cut. Compare with a backup",
    )


def _tail(log: BinaryIO) -> tuple[int, str]:
    """Number and `previous` of the next line; a half-written last line is cut off."""
    content = log.read()
    whole = content[: content.rfind(b"\n") + 1]
    log.truncate(len(whole))
    log.seek(len(whole))
    lines = whole.splitlines()
    return len(lines), str(parsed(lines[-1], "the last line of the audit log")["hash"]) if lines else FIRST


def _hash(line: Json) -> str:
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()
