"""One Airflow instance: its database and its four commands, started and stopped as one.

`airflow standalone` starts forty processes and does not end cleanly; here each component leads its own process group.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from konsil.errors import Unavailable
from konsil.stack.configuration import configure, environment
from konsil.stack.health import Say, wait_until_ready
from konsil.stack.places import Place, Plan
from konsil.stack.processes import Process, find, start

COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


def processes(plan: Plan, place: Place) -> list[Process]:
    """The recorded processes of a place, dead or alive."""
    found = [find(f"{place.name}.{component}", plan.folder) for component in COMPONENTS]
    return [process for process in found if process is not None]


def start_place(plan: Plan, place: Place, *, say: Say, halt: threading.Event) -> None:
    """Start what does not run at this place and return when all of it is healthy; `halt` ends the waiting early."""
    configure(place)
    env = environment(place, plan.marker)
    place.home.mkdir(parents=True, exist_ok=True)
    migrate(place, env, say)
    alive = {process.name for process in processes(plan, place) if process.alive}
    for component, arguments in COMPONENTS.items():
        name = f"{place.name}.{component}"
        if name not in alive and not halt.is_set():
            command = [sys.executable, "-m", "airflow", *arguments]
            start(name, command, folder=plan.folder, env=env, cwd=place.airflow_home)
    wait_until_ready(place, processes(plan, place), plan.folder / "logs", say=say, halt=halt)
    say(f"{place.name}: ready at {place.url}")


def migrate(place: Place, env: dict[str, str], say: Say) -> None:
    """Make the database of a new place. A half-made one from a killed start is completed."""
    done = place.airflow_home / "migrated"
    if done.exists():
        return
    say(f"{place.name}: making the database")
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    end = subprocess.run(command, env=env, capture_output=True, text=True, check=False, umask=0o077)
    if end.returncode:
        last = " | ".join(end.stderr.strip().splitlines()[-3:])
        raise Unavailable(f"the database of {place.name} could not be made", got=last)
    done.touch()
