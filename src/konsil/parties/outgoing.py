"""An update with noise on its way out: drawn once, kept until it is posted, and posted as it was kept.

    runs/<run>/outgoing/0003.safetensors       the tensors of round 3 as they will be posted; their facts in the header

A site that is killed between drawing and posting would otherwise draw again, and whoever saw both versions (a payload
without manifest also lies in the store) would know more than the charter's ε allows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from safetensors import safe_open
from safetensors.numpy import save_file

from konsil.files import replacing
from konsil.types import Json, Tensors

Message: TypeAlias = tuple[Tensors, Json]


class Outgoing:
    """The updates of one run at one site; only the newest is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, number: int, make: Callable[[], Message]) -> Message:
        """The tensors and facts of a round, made by `make` the first time and the same ever after."""
        path = self.folder / f"{number:04d}.safetensors"
        if path.is_file():
            return _read(path)
        tensors, facts = make()
        with replacing(path, mode=0o600) as part:
            save_file(dict(tensors), part, metadata={"facts": json.dumps(facts), "order": json.dumps(list(tensors))})
        for old in self.folder.glob("[0-9]*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)
        return tensors, facts


def _read(path: Path) -> Message:
    with safe_open(path, framework="numpy") as stream:
        metadata = stream.metadata()
        return {name: stream.get_tensor(name) for name in json.loads(metadata["order"])}, json.loads(metadata["facts"])
