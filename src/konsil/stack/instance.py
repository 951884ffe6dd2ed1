"""One Airflow instance: its database and its four commands, started and stopped as one.

`airflow standalone` starts forty processes and does not end cleanly; here each component leads its own process group.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from konsil.errors import Unavailable
from konsil.stack.configuration import configure, environment
from konsil.stack.health import Say, tail, wait_until_ready
from konsil.stack.login import is_fab, let_people_in, make_admin
from konsil.stack.places import Place, Plan
from konsil.stack.processes import end_rest, find, start, stop

AIRFLOW = ("-m", "airflow")
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}

SERVER = "api-server"
"""Its worker outlives a parent that was killed, and holds the port."""


class Keeper:
    """The components of one place: starts what does not run, also what ends while a start is being waited for.

    A scheduler that lost its database goes on living, without a heartbeat, until the work that it had begun is done:
    for hours, where that is a training. Whoever starts the place finds it alive; so it is replaced once it has been
    silent for `patience_s`, and its work is tried again.
    """

    def __init__(self, plan: Plan, place: Place, *, say: Say, patience_s: float = 60.0) -> None:
        self._plan, self._place, self._say, self._patience_s = plan, place, say, patience_s
        self._environment = environment(place, plan.marker)
        self._started, self._begun = set[str](), time.monotonic()

    def keep(self, silent: Sequence[str] = ()) -> None:
        """Start every component that does not run, and anew what is `silent` for too long.

        Raises Unavailable if one ended that this keeper has started.
        """
        for component, arguments in COMPONENTS.items():
            name, folder = f"{self._place.name}.{component}", self._plan.folder
            found = find(name, folder)
            if found is not None and found.alive and not self._is_stuck(component, silent):
                continue
            if name in self._started:
                raise Unavailable(f"{name} ended while it started", got=tail(folder / "logs" / f"{name}.log"))
            if found is not None and found.alive:
                self._say(f"{self._place.name}: {component} does not answer any more and is started anew")
                stop([found], folder=folder, grace_s=5)
            elif found is not None and component == SERVER:
                end_rest(found, self._plan.marker)
            command = [sys.executable, *AIRFLOW, *arguments]
            start(name, command, folder=folder, env=self._environment, cwd=self._place.airflow_home)
            self._started.add(name)

    def _is_stuck(self, component: str, silent: Sequence[str]) -> bool:
        """Whether a component that was there before has not answered for so long that it will not."""
        is_old = f"{self._place.name}.{component}" not in self._started
        return is_old and component in silent and time.monotonic() - self._begun > self._patience_s


def start_place(plan: Plan, place: Place, *, say: Say, halt: threading.Event) -> None:
    """Start what does not run at this place and return when all of it is healthy; `halt` ends the waiting early."""
    configure(place)
    place.home.mkdir(parents=True, exist_ok=True)
    migrate(place, environment(place, plan.marker), say)
    wait_until_ready(place, Keeper(plan, place, say=say).keep, say=say, halt=halt)
    if is_fab(place):
        let_people_in(place)
    say(f"{place.name}: ready at {place.url}")


def migrate(place: Place, env: dict[str, str], say: Say) -> None:
    """Make the database of a new place. A half-made one from a killed start is completed."""
    done = place.airflow_home / "migrated"
    if done.exists():
        return
    say(f"{place.name}: making the database")
    command = [sys.executable, *AIRFLOW, "db", "migrate"]
    end = subprocess.run(command, env=env, capture_output=True, text=True, check=False, umask=0o077)
    if end.returncode:
        last = " | ".join(end.stderr.strip().splitlines()[-3:])
        raise Unavailable(f"the database of {place.name} could not be made", got=last)
    if is_fab(place):
        make_admin(place, env)
    done.touch()
