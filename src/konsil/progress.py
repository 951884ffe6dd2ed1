"""How far long work has come: told by whoever works, shown by whoever listens.

A learner tells after every batch; a command line listens with a bar or with plain lines, nobody listens in a test. What
is told are numbers only, so nothing of it can name a patient.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

log = logging.getLogger(__name__)
EVERY_S = 15.0


@dataclass(frozen=True)
class Progress:
    """A place in a training; counts begin at 1. `left_s`: seconds of work left for all rounds, None if unknown."""

    round: int
    rounds: int
    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float | None = None
    dice: float | None = None
    left_s: float | None = None

    def __str__(self) -> str:
        """`round 3 of 50, epoch 1 of 1, batch 120 of 250, loss 0.412, Dice 0.731, about 12 min left`."""
        parts = [f"round {self.round} of {self.rounds}"]
        parts += [f"epoch {self.epoch} of {self.epochs}"] if self.epochs > 1 else []
        parts.append(f"batch {self.batch} of {self.batches}")
        parts += [f"loss {self.loss:.3f}"] if self.loss is not None else []
        parts += [f"Dice {self.dice:.3f}"] if self.dice is not None else []
        parts += [f"about {span(self.left_s)} left"] if self.left_s is not None else []
        return ", ".join(parts)


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []


def tell(progress: Progress) -> None:
    """Pass a place on to everybody who listens in this process."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Listen while this is open."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Lines:
    """A listener that logs a plain line, at most every `every_s` seconds."""

    def __init__(self, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.every_s, self.clock = every_s, clock
        self.last = clock()

    def __call__(self, progress: Progress) -> None:
        """Log this place if the last line is old enough."""
        if self.clock() - self.last >= self.every_s:
            self.last = self.clock()
            log.info("%s", progress)


class Watch:
    """Estimates the seconds left from how long the batches took that it has seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.began = clock, clock()
        self.counted = 0

    def left_s(self, batches_left: int) -> float | None:
        """Count one batch more; seconds for the batches that are left, None before the second."""
        self.counted += 1
        if self.counted == 1:
            self.began = self.clock()  # the first one also starts loaders, or compiles
            return None
        return (self.clock() - self.began) / (self.counted - 1) * batches_left


def span(seconds: float) -> str:
    """Seconds as people say them: `12 s`, `3 min`, `5 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
