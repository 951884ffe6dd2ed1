"""What a strategy lets a site keep for itself: own layers, an own model, a control variate. It never leaves.

    runs/<run>/own/0003.safetensors        after this site's round 3

Written whole before the update of that round is posted. Of the rounds before only the one that it was made from is
kept: a site that was killed in between trains the round again from there and hands in the same numbers. Unlike the rest
of the folder this cannot be found again elsewhere: a site that lost it begins anew with its own part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from safetensors.numpy import load_file, save_file

from konsil.files import replacing
from konsil.types import Tensors


class Keepsakes:
    """The kept tensors of one run at one site, by round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before(self, number: int, counts: Callable[[int], bool] = lambda earlier: True) -> tuple[int, Tensors]:
        """The latest round before `number` that counts, and what was kept after it; round 0 and nothing if none."""
        rounds = [earlier for earlier in self._rounds() if earlier < number and counts(earlier)]
        return (max(rounds), load_file(self._path(max(rounds)))) if rounds else (0, {})

    def keep(self, number: int, tensors: Tensors, *, made_from: int) -> None:
        """Keep what belongs to a round, whole or not at all, and of the others only that of `made_from`."""
        if not tensors:
            return
        with replacing(self._path(number), mode=0o600) as part:
            save_file(dict(tensors), part)
        for old in self._rounds():
            if old not in (number, made_from):
                self._path(old).unlink(missing_ok=True)

    def _rounds(self) -> list[int]:
        found = self.folder.glob("*.safetensors")
        return [int(path.stem) for path in found if re.fullmatch(r"\d{4}", path.stem)]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.safetensors"
