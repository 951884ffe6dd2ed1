"""Going on: do one deed after the other, and wait warm for the others, until there is a reason to stop.

    done       the phase `until` is behind us
    waiting    nothing arrived for `patience_s`; come back later
    finished   nothing more to do, ever
    aborted    the run cannot go on

Whatever a stint knew lies in the store and in the folder of the run, so stopping costs nothing but the warmth.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from konsil.errors import Exhausted, Unavailable
from konsil.federation.steps import Abort, Finish, Phase, Step, Wait
from konsil.parties.party import Party
from konsil.types import Json

State = Literal["done", "waiting", "aborted", "finished"]
AWAY = "for the store, which does not answer"
FULL = "for room on this machine"
FIRST_PAUSE_S = 0.05
LOOKS_PER_WAIT = 8  # of a wait whose end nobody knows: it becomes an eighth longer at most than it had to be
LOOKS_LEAVE = 2.0  # times as long as a look takes is not looked: with many buckets a look is work
AHEAD = 3  # before the usual end of a wait: a third of what is left until then
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """Why a stint stopped: the state, a sentence, the round in work (None outside the rounds) and the phase.

    `held`: a deed of this party may be open, but the store does not answer, or the operator or this site paused
    the run. Whoever meant to have that deed done has to come back.
    """

    state: State
    sentence: str
    round: int | None = None
    phase: Phase = Phase.CHARTER
    held: bool = False

    def as_json(self) -> Json:
        """The form of `--result`."""
        return asdict(self)


@dataclass(frozen=True)
class Clock:
    """Time and sleep, so that tests need neither."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Pauses:
    """How long to wait between two looks, in seconds: 0.05 at first, then an eighth of the wait so far.

    Where the same phase was waited for before, the looks gather around the time that took: until then a third of what
    is left, after it an eighth of what it took longer. So a round that takes its usual time is noticed at once, by ten
    looks or so.
    """

    def __init__(self) -> None:
        self._usual: dict[Phase, float] = {}
        self._now: tuple[Phase, float] | None = None

    def after(self, waited: float, phase: Phase) -> float:
        """The next pause, when `waited` seconds of this phase are over."""
        self._now = (phase, waited)
        left = self._usual.get(phase, 0.0) - waited
        return max(FIRST_PAUSE_S, left / AHEAD if left > 0 else -left / LOOKS_PER_WAIT)

    def over(self) -> None:
        """Something came; the next wait for this phase is expected to take as long."""
        if self._now is not None:
            phase, waited = self._now
            self._usual[phase], self._now = waited, None


def go_on(
    party: Party,
    *,
    until: Phase | None = None,
    patience_s: float = 30.0,
    poll_s: float = 1.0,
    show: Callable[[Step], None] = lambda step: None,
    clock: Clock | None = None,
) -> Ending:
    """Work until `until` is behind us, or nothing arrived for `patience_s` seconds, or the run has ended.

    Between two looks into the store lie pauses (`Pauses`) of 0.05 s to `poll_s`, and twice what a look takes where
    that is more. `show` hears of every step. A store that does not answer is waited for like a message, and so is a
    full GPU.
    """
    clock, pauses = clock or Clock(), Pauses()
    idle_since = clock.monotonic()
    while True:
        looked_at = clock.monotonic()
        step = _attempt(party, until, show)
        ending = _ending(step, until)
        if ending is not None:
            return ending
        if not isinstance(step, Wait):
            pauses.over()
            idle_since = clock.monotonic()
            continue
        now = clock.monotonic()
        waited, took = now - idle_since, now - looked_at
        left = patience_s - waited
        if left <= 0:
            return Ending("waiting", f"Waiting {step.why}.", step.round, step.phase, _is_held(party, step))
        pause = min(pauses.after(waited, step.phase), poll_s)
        clock.sleep(min(max(pause, LOOKS_LEAVE * took), left))


def _attempt(party: Party, until: Phase | None, show: Callable[[Step], None]) -> Step:
    """Ask for the next step and do it, unless it lies beyond `until`."""
    step: Step | None = None
    try:
        step = party.next()
        show(step)
        if until is None or not step.phase.is_after(until) or isinstance(step, Abort):
            party.do(step)
    except Unavailable as error:
        log.warning("%s", error.sentence)
        phase = step.phase if step is not None else until or Phase.CHARTER
        why = f"{FULL}: {error.what}" if isinstance(error, Exhausted) else AWAY
        return Wait(phase, why, round=getattr(step, "round", None))
    return step


def _is_held(party: Party, step: Wait) -> bool:
    """Whether a wait says nothing about whose turn it is."""
    course = party.course
    if party.held is not None or step.why.startswith((AWAY, FULL)):
        return True
    return course is not None and (course.paused is not None or course.aborted is not None)


def _ending(step: Step, until: Phase | None) -> Ending | None:
    number = getattr(step, "round", None)
    if isinstance(step, Finish):
        return Ending("finished", step.why, number, step.phase)
    if isinstance(step, Abort):
        return Ending("aborted", step.why, number, step.phase)
    if until is not None and step.phase.is_after(until):
        return Ending("done", f"The phase {until} is done.", number, step.phase)
    return None
