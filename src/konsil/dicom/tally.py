"""What a receiver has done since it started, for people and for later pages: counts and times, nobody's name.

`<home>/receive.json` (format `konsil-receive/1`): `ae_title`, `address`, `port`, `running`, `since` and `last_contact`
(UTC, ISO 8601), `open` (associations now), `associations`, `strangers` (associations refused), `images` (kept),
`copies` (there already), `refused` (images that could not be read), `failed` (images that the disk did not take).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from konsil.files import write_json

log = logging.getLogger(__name__)
FORMAT = "konsil-receive/1"
MODE = 0o644
PAUSE_S = 2.0
"""Least time between two writings while images arrive."""


@dataclass
class Counts:
    """What came of images."""

    images: int = 0
    copies: int = 0
    refused: int = 0
    failed: int = 0

    def sentence(self) -> str:
        """The counts in words."""
        return (
            f"{self.images} images kept, {self.copies} there already, "
            f"{self.refused} not readable, {self.failed} not taken by the disk"
        )


@dataclass
class Tally:
    """The counts of one receiver, kept in a file; safe to use from several threads."""

    path: Path
    ae_title: str
    address: str
    port: int
    since: str = field(default_factory=lambda: now())
    last_contact: str | None = None
    open: int = 0
    associations: int = 0
    strangers: int = 0
    counts: Counts = field(default_factory=Counts)
    running: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _written: float = 0.0

    def count(self, what: str, own: Counts) -> None:
        """Count one image (`what`: a field of `Counts`), for its association `own` and for all."""
        with self._lock:
            setattr(own, what, getattr(own, what) + 1)
            setattr(self.counts, what, getattr(self.counts, what) + 1)
            self.last_contact = now()
            if time.monotonic() - self._written > PAUSE_S:
                self._write()

    def change(self, *, open_now: int, associations: int = 0, strangers: int = 0) -> None:
        """An association began (`associations` 1), ended, or was refused (`strangers` 1); so many are open now."""
        with self._lock:
            self.open = open_now
            self.associations += associations
            self.strangers += strangers
            self.last_contact = now()
            self._write()

    def write(self, *, running: bool) -> None:
        """Write the file, at the start and at the end."""
        with self._lock:
            self.running = running
            self._write()

    def _write(self) -> None:
        shown = ("ae_title", "address", "port", "since", "last_contact", "open", "associations", "strangers", "running")
        content = {"format": FORMAT, **{name: getattr(self, name) for name in shown}, **asdict(self.counts)}
        try:
            write_json(self.path, content, mode=MODE)
        except OSError as error:  # a full disk must not end the receiver
            log.warning("the state file cannot be written: %s", error.strerror or type(error).__name__)
        self._written = time.monotonic()


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
