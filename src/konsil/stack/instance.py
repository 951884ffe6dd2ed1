"""One Airflow instance: its database and its four commands, started and stopped as one.

`airflow standalone` starts forty processes and does not end cleanly; here each component leads its own process group.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from konsil.errors import Unavailable
from konsil.stack.configuration import configure, environment
from konsil.stack.health import Say, tail, wait_until_ready
from konsil.stack.places import Place, Plan
from konsil.stack.processes import find, start

AIRFLOW = ("-m", "airflow")
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


class Keeper:
    """The components of one place: starts what does not run, also what ends while a start is being waited for.

    A scheduler whose database was gone for a moment still runs for a while, on its way out; whoever starts the place
    then would otherwise find it alive, and a minute later nobody would be left to start it.
    """

    def __init__(self, plan: Plan, place: Place) -> None:
        self._plan, self._place, self._started = plan, place, set[str]()
        self._environment = environment(place, plan.marker)

    def keep(self) -> None:
        """Start every component that does not run. Raises Unavailable if one ended that this keeper has started."""
        for component, arguments in COMPONENTS.items():
            name, folder = f"{self._place.name}.{component}", self._plan.folder
            found = find(name, folder)
            if found is not None and found.alive:
                continue
            if name in self._started:
                raise Unavailable(f"{name} ended while it started", got=tail(folder / "logs" / f"{name}.log"))
            command = [sys.executable, *AIRFLOW, *arguments]
            start(name, command, folder=folder, env=self._environment, cwd=self._place.airflow_home)
            self._started.add(name)


def start_place(plan: Plan, place: Place, *, say: Say, halt: threading.Event) -> None:
    """Start what does not run at this place and return when all of it is healthy; `halt` ends the waiting early."""
    configure(place)
    place.home.mkdir(parents=True, exist_ok=True)
    migrate(place, environment(place, plan.marker), say)
    wait_until_ready(place, Keeper(plan, place).keep, say=say, halt=halt)
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
    done.touch()
