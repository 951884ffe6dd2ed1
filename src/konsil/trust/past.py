"""What a party's keys were before: retired signing keys, and the messages for which they are still good.

`<home>/keys/past.json`: {"<party>": {"retired": ["<key>", …], "vouched": {"<digest>": "<key>", …}}}. A retired key
signs nothing new: it is good for the messages that the rotation named, and for those that a reader had pinned before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from konsil.errors import BadSetting
from konsil.files import read_json, write_json


class Past(BaseModel):
    """The retired signing keys of one party, oldest first, and digest → the retired key that signed that message."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retired: tuple[str, ...] = ()
    vouched: dict[str, str] = {}

    def with_retired(self, key: str, letters: Iterable[str] = ()) -> Past:
        """The same and one retired key more, good for `letters`."""
        kept = (*(other for other in self.retired if other != key), key)
        return Past(retired=kept, vouched={**self.vouched, **dict.fromkeys(letters, key)})


def read_past(home: Path) -> dict[str, Past]:
    """By party; empty where nobody has rotated yet."""
    path = home / "keys" / "past.json"
    try:
        return {name: Past.model_validate(held) for name, held in (read_json(path) if path.is_file() else {}).items()}
    except ValidationError as error:
        raise BadSetting("keys/past.json is damaged", hint="Restore it from the backup") from error


def keep_past(home: Path, party: str, past: Past) -> None:
    """Keep what `party` had before, beside what is known of others."""
    kept = {**read_past(home), party: past}
    write_json(home / "keys" / "past.json", {name: held.model_dump(mode="json") for name, held in kept.items()})
