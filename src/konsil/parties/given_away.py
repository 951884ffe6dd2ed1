"""Tensors that are needed once more, and then no longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class GivenAway(Mapping[str, Any]):
    """Tensors of which each is taken out of `held` when it is asked for: its memory is free once it was used."""

    def __init__(self, held: dict[str, Any]) -> None:
        self._held = held

    def __getitem__(self, name: str) -> Any:
        return self._held.pop(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
