"""Pins: which message of each slot was seen first, and when the store had received it.

The first one seen stands, whatever appears later in the same place, and its time stands too, even if the object is
written again. Kept in `<home>/runs/<run>/pins.json`, so that a restart, a retry or another worker decides alike.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from konsil.files import read_json, write_json
from konsil.types import Json


class Pins:
    """Digest and time by place; without a folder they last as long as the object."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "pins.json"
        self._pins: Json = {}
        self._read()

    def get(self, place: str) -> tuple[str, datetime] | None:
        """Digest and time of the message that stands in a place, or None."""
        found = self._pins.get(place)
        return None if found is None else (found["digest"], datetime.fromisoformat(found["received"]))

    def add(self, place: str, digest: str, received: datetime, note: Callable[[], None] = lambda: None) -> None:
        """Let a message stand, unless another process of this party already did; `note` is called before it stands."""
        with self._alone():
            self._read()
            if place in self._pins:
                return
            note()
            self._pins[place] = {"digest": digest, "received": received.isoformat()}
            if self._path is not None:
                write_json(self._path, self._pins)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of this party from adding at the same time."""
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> None:
        if self._path is not None and self._path.is_file():
            self._pins = {**self._pins, **read_json(self._path)}
