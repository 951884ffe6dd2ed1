"""The stack as a whole: up, status, down. The command ends, the processes stay; a second `up` finds them.

Places are started in parallel, because most of a start is waiting for imports. Whoever interrupts `up` gets back what
was there before: only what this very call started is stopped again. `down` ends the groups, then everything that still
carries the stack's marker, and refuses to call it done while anything is left.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from konsil.errors import Unavailable
from konsil.stack import bucket, instance
from konsil.stack.health import Say, unhealthy
from konsil.stack.places import Place, Plan
from konsil.stack.processes import find, marked, stop, sweep


def up(plan: Plan, *, say: Say, only: Sequence[str] = ()) -> None:
    """Start the S3 server, the passes and keys, and the named places (all of them when none is named).

    Raises `Unavailable` with the end of a log when a part does not start; everything this call started is then stopped.
    """
    before = {name for name, alive in running(plan).items() if alive}
    try:
        bucket.start_bucket(plan, say=say)
        start_places(plan, plan.only(only), say=say)
    except BaseException:
        say("stopping what was started")
        mine = [process for name in all_names(plan) if name not in before and (process := find(name, plan.folder))]
        stop(mine, folder=plan.folder, grace_s=5)
        if not before:
            sweep(plan.marker)
        raise


def start_places(plan: Plan, places: Sequence[Place], *, say: Say) -> None:
    """Make the passes and start places side by side; a failure or an interruption ends the waiting for the others."""
    halt = threading.Event()
    with ThreadPoolExecutor(max_workers=1 + len(places)) as pool:
        jobs = [pool.submit(bucket.make_trust, plan, say=say)]
        jobs += [pool.submit(instance.start_place, plan, place, say=say, halt=halt) for place in places]
        try:
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        finally:
            halt.set()


def down(plan: Plan, *, say: Say, only: Sequence[str] = (), grace_s: float = 12.0) -> None:
    """Stop the named places, or everything with the S3 server when none is named; prove that nothing is left."""
    names = all_names(plan)
    if only:
        wanted = {place.name for place in plan.only(only)}
        names = [name for name in names if name.split(".")[0] in wanted]
    stop([found for name in names if (found := find(name, plan.folder))], folder=plan.folder, grace_s=grace_s)
    left = []
    for place in plan.only(only):
        left += sweep(plan.marker, KONSIL_HOME=str(place.home))
    if not only:
        left += sweep(plan.marker)
    if left:
        raise Unavailable("some processes could not be ended", got=", ".join(str(process.pid) for process in left))
    say("stopped " + (", ".join(only) if only else "everything") + "; no process is left")


def all_names(plan: Plan) -> list[str]:
    """Names of all processes that belong to a stack."""
    return [bucket.NAME, *(f"{place.name}.{part}" for place in plan.places for part in instance.COMPONENTS)]


def running(plan: Plan) -> dict[str, bool]:
    """Whether each process of the stack is alive."""
    found = {name: find(name, plan.folder) for name in all_names(plan)}
    return {name: process is not None and process.alive for name, process in found.items()}


@dataclass(frozen=True)
class State:
    """What `konsil stack status` tells about one place."""

    place: Place
    dead: tuple[str, ...]
    unhealthy: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if len(self.dead) == len(instance.COMPONENTS):
            return "stopped"
        if self.dead:
            repair = f"konsil stack up --only {self.place.name} starts it again"
            return f"broken: {', '.join(self.dead)} does not run; {repair}"
        return f"unhealthy: {', '.join(self.unhealthy)}" if self.unhealthy else "healthy"


def states(plan: Plan) -> list[State]:
    """The state of every place."""
    alive = running(plan)
    found = []
    for place in plan.places:
        dead = tuple(part for part in instance.COMPONENTS if not alive[f"{place.name}.{part}"])
        found.append(State(place, dead, () if dead else tuple(unhealthy(place))))
    return found


def leftovers(plan: Plan) -> list[int]:
    """Ids of all processes that carry the stack's marker."""
    return [process.pid for process in marked(plan.marker)]
