"""What the tab knows of the runs of this place: looked at when somebody watches, for all who watch together.

The page asks every few seconds; the store is asked at most once in `FRESH_S` per run, whoever asks. While it does not
answer, the last picture is shown with a sentence that says so. A few parties stay open, because their manifests are
verified once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from functools import cache
from pathlib import Path

from konsil.errors import KonsilError, Unavailable
from konsil.parties.opening import open_party
from konsil.parties.party import Party
from konsil.parties.standing import standing
from konsil.types import Json

FRESH_S = 2.0
OPEN, KEPT = 8, 64
"""Parties that stay open (5 kB a message: bench/look.py; it ends with the run), and pictures kept."""


class Live:
    """Pictures (`konsil.parties.standing`) of one home's runs. One look at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._alone = threading.Lock()
        self._open: OrderedDict[str, Party] = OrderedDict()
        self._seen: dict[str, tuple[float, Json]] = {}

    def at(self, run: str) -> Json:
        """The picture, not older than `FRESH_S`; with `away`, a sentence, if the store does not answer.

        Raises `KonsilError` where there is nothing to show: no such run, no charter yet, or a store that has not
        answered once.
        """
        with self._alone:
            looked, picture = self._seen.get(run, (float("-inf"), {}))
            if time.monotonic() - looked < FRESH_S:
                return picture
            try:
                picture = standing(self._party(run))
            except Unavailable as error:
                if not picture:
                    raise
                picture = {**picture, "away": error.sentence}
            except KonsilError:
                self._open.pop(run, None)
                raise
            self._seen.pop(run, None)
            self._seen[run] = (time.monotonic(), picture)
            if len(self._seen) > KEPT:
                del self._seen[next(iter(self._seen))]
            return picture

    def forget(self, run: str) -> None:
        """Something was said to a run: look anew."""
        with self._alone:
            if run in self._seen:
                self._seen[run] = (float("-inf"), self._seen[run][1])

    def _party(self, run: str) -> Party:
        party = self._open.pop(run, None) or open_party(self.home, run)
        self._open[run] = party
        if len(self._open) > OPEN:
            self._open.popitem(last=False)
        return party


@cache
def live(home: Path) -> Live:
    """The one of this process for a home."""
    return Live(home)
