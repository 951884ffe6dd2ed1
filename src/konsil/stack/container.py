"""One Airflow component of a place, as a container of docker-compose.yaml runs it.

The container's root is read-only. What is secret comes as one file that `konsil init` made (`/run/secrets/place`), the
settings are written into a tmpfs at every start, and the only thing that stays is the place's volume: `/data/home` is
KONSIL_HOME, `/data/logs` holds the logs of tasks, which the API server shows. On the place's own network its API server
is called `api`, its database `db`, and the broker of a place with Celery workers `broker`.
"""

from __future__ import annotations

import configparser
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from konsil.errors import BadInput, Unavailable
from konsil.files import read_json, write_bytes, write_json
from konsil.parties.worker_mark import noted
from konsil.settings import Settings
from konsil.stack.configuration import NO_SIDE_DOOR, link_dags, sections
from konsil.stack.places import Place
from konsil.types import Json

SECRET = Path("/run/secrets/place")
FOLDER = Path("/run/konsil")
LOGS = Path("/data/logs")
PORT = 8080
COMPONENTS = {
    "api-server": ("api-server", "--proxy-headers"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "worker": ("celery", "worker", "--skip-serve-logs"),
}
TASK = "task"
AIRFLOW = (sys.executable, "-m", "airflow")
MIGRATOR = "scheduler"
MIGRATED_S = 600


def configure(secret: Path = SECRET, folder: Path = FOLDER) -> Place:
    """Write airflow.cfg, accounts and DAG links of the place that `secret` describes below `folder`."""
    given = read_json(secret)
    place = Place(str(given["name"]), PORT, folder)
    write_json(place.airflow_home / "passwords.json", given["passwords"], mode=0o600)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(settings(place, given))
    text = io.StringIO()
    parser.write(text)
    write_bytes(place.airflow_home / "airflow.cfg", text.getvalue().encode(), mode=0o600)
    return place


def settings(place: Place, given: Json) -> dict[str, dict[str, str]]:
    """The settings of `konsil stack`, with PostgreSQL and with addresses of the place's network."""
    database = f"postgresql+psycopg2://airflow:{given['database_password']}@db/airflow"
    keys = {
        "core": {"fernet_key": given["fernet_key"]},
        "database": {"sql_alchemy_conn": database},
        "api": {"secret_key": given["secret_key"]},
        "api_auth": {"jwt_secret": given["jwt_secret"]},
        "celery": {"broker_url": f"redis://:{given['database_password']}@broker:6379/0"},
    }
    table = sections(place, link_dags(place), keys)
    table["core"]["execution_api_server_url"] = f"http://api:{PORT}{place.prefix}/execution/"
    table["api"] |= {"base_url": f"{given['address']}{place.prefix}"}
    table["api"]["host"] = "api"  # its address in the place's own network, and in no other
    table["logging"]["base_log_folder"] = str(LOGS)
    return table


def become(component: str, secret: Path = SECRET, folder: Path = FOLDER, *, arguments: Sequence[str] = ()) -> NoReturn:
    """Turn this process into `component` once the database is there: the scheduler makes it, the others wait.

    `task`: into the command line `arguments`, with the place's settings written beside it; a pod's work begins so.
    """
    if component not in {TASK, *COMPONENTS}:
        raise BadInput("there is no such component", expected=", ".join([*COMPONENTS, TASK]), got=component)
    if (component == TASK) != bool(arguments):
        raise BadInput("a command line belongs to the component task, and to it alone", got=component)
    own = Settings()  # what is not usable is told here, not by every task
    place = configure(secret, folder)
    if component == MIGRATOR:  # it is where the work is done
        noted(own.home, own.image)
    environment = os.environ | {"AIRFLOW_HOME": str(place.airflow_home), "FORWARDED_ALLOW_IPS": "*"} | NO_SIDE_DOOR
    if component == TASK:
        os.execvpe(arguments[0], list(arguments), environment)  # noqa: S606 - a list, no shell
    await_database(component, environment)
    os.execve(sys.executable, [*AIRFLOW, *COMPONENTS[component]], environment)  # noqa: S606 - a list, no shell


def await_database(component: str, environment: dict[str, str]) -> None:
    """Let the scheduler make the database, and every other component wait for that; Unavailable if it does not come."""
    waiting = ["db", "migrate"] if component == MIGRATOR else ["db", "check-migrations", "-t", str(MIGRATED_S)]
    end = subprocess.run([*AIRFLOW, *waiting], env=environment, capture_output=True, text=True, check=False)
    if end.returncode:
        last = (end.stderr.strip().splitlines() or ["no word"])[-1]
        raise Unavailable("the database of this place is not usable", got=last, hint="Is the service db healthy?")
