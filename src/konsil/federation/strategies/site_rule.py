"""The site's half of a strategy: what it starts a round from, how its steps are steered, what it hands in and keeps.

Most strategies have none: the site trains the global model and hands in what came out (`SiteRule`). A rule is a value
of pure functions on named arrays. `message` are all tensors of the global message: the model, and under SCAFFOLD also
the control variate, named `control/<tensor>`. `kept` is what `hand_in` gave to keep after this site's last round, empty
before the first; it never leaves the site (`konsil.parties.keepsakes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from konsil.types import Steering, Tensors

CONTROL = "control/"
Entry = TypeVar("Entry")


class SiteRule:
    """Nothing special: train the global model, hand in all of it, keep nothing."""

    def start(self, message: Tensors, kept: Tensors) -> Tensors:
        """The weights this site trains from, and those it uses after the last round."""
        return model_of(message)

    def steering(self, message: Tensors, kept: Tensors) -> Steering | None:
        """What is added to the gradients of the round; None = nothing."""
        return None

    def hand_in(self, message: Tensors, kept: Tensors, trained: Tensors, rates: float) -> tuple[Tensors, Tensors]:
        """What is sent and what is kept, after training; `rates` is the sum of the learning rates over the steps."""
        return trained, {}

    def second(self, message: Tensors, kept: Tensors) -> tuple[Tensors, Steering] | None:
        """From where and how a model of the site's own is trained; None = there is none."""
        return None


def model_of(message: Mapping[str, Entry]) -> dict[str, Entry]:
    """The part of a message (arrays or specs, by name) that is the model's."""
    return {name: entry for name, entry in message.items() if not name.startswith(CONTROL)}
