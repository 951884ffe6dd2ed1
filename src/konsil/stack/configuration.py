"""airflow.cfg of one place: lean enough that four instances share two cores.

What was tried with Airflow 3.3.2: the scheduler's idle pause decides the latency, 0.5 s is half the default; three
parallel tasks instead of 32 save 30 processes; 30 s instead of 5 for the first call of a task keeps a busy machine from
losing it; DAG files are read again after ten minutes, not one, because each reading costs an interpreter, and a busy
machine gets minutes instead of 30 s to read one, because a file that took longer is missing for those ten minutes. A
task whose process vanished is given up after 60 s instead of 300, and one whose scheduler vanished too is taken over
after 20 s instead of 300 (a scheduler looks for such orphans only at its start and then at this interval), so that a
restarted site goes on soon. The end of a task that parks is noticed after 1 s instead of 5: answered earlier, Airflow
would fail it (docs/airflow.md). Ten thousand runs may wait in the triggerer instead of a thousand. The file holds the
keys of the instance (mode 600) and is written once; `AIRFLOW_HOME=<place>/airflow airflow …` works by hand.
"""

from __future__ import annotations

import base64
import configparser
import importlib.util
import io
import json
import os
import secrets
from pathlib import Path

from konsil.errors import Missing
from konsil.files import write_bytes
from konsil.stack.accounts import passwords, roles
from konsil.stack.login import SIMPLE
from konsil.stack.places import HOST, Place

SITE_DAGS = ("prepare_cohort", "join_federation", "train_rounds", "extend_federation", "predict", "doctor")
CENTRE_DAGS = ("run_federation", "aggregate_rounds", "extend_federation", "doctor")


LEAN = {
    "scheduler": {
        "scheduler_idle_sleep_time": "0.5",
        "task_instance_heartbeat_timeout": "60",
        "scheduler_health_check_threshold": "20",
        "orphaned_tasks_check_interval": "20",
        "enable_health_check": "False",
    },
    "dag_processor": {
        "parsing_processes": "1",
        "min_file_process_interval": "600",
        "refresh_interval": "30",
        "dag_file_processor_timeout": "200",
    },
    "triggerer": {"capacity": "10000"},
    "workers": {"execution_api_timeout": "30", "min_heartbeat_interval": "1"},
}
"""What is the same everywhere: one parser, quick notice of what died, and room for many waiting runs."""
SERVER = {"server_type": "gunicorn", "workers": "1", "worker_refresh_interval": "43200", "worker_timeout": "600"}
"""An API server grows with what it is asked; every twelve hours a fresh worker takes over (decision 044). One that is
silent for ten minutes is killed; the two that Airflow gives are too few on a machine that does more than it can."""
NO_SIDE_DOOR = {"GUNICORN_CMD_ARGS": "--no-control-socket"}
"""gunicorn would open a socket for commands in the home of its user: one for all places, and a thread that forks."""
LONG_TAB = "[aria-label='Governance']"
THEME = {
    "globalCss": {
        LONG_TAB: {"overflow": "visible !important"},
        f"{LONG_TAB} > div": {"width": "64px !important", "letterSpacing": "-0.04em"},
    }
}
"""Airflow cuts the word under an icon where its button ends ("Governa…"): this one may be as wide as the bar, and its
letters stand a little closer, so that they stay on the ground of the button where the font is wide."""


def dag_ids(place: Place) -> tuple[str, ...]:
    """The DAGs that a place runs; a DAG's file name is its id."""
    return CENTRE_DAGS if place.is_centre else SITE_DAGS


def checkout() -> Path:
    """The folder that holds `dags` beside the importable package `operators`."""
    found = importlib.util.find_spec("operators")
    root = Path(found.origin).parents[1] if found and found.origin else Path()
    if found is None or not (root / "dags").is_dir():
        raise Missing(
            "the DAG files are not there",
            expected="a folder dags beside the installed package operators",
            hint="Install konsil from its checkout: pip install -e '.[stack]'",
        )
    return root


def link_dags(place: Place) -> Path:
    """A folder with links to the DAG files of this place alone, so that a site does not show the centre's."""
    folder = place.folder / "dags"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    for name in dag_ids(place):
        (folder / f"{name}.py").symlink_to(checkout() / "dags" / f"{name}.py")
    return folder


def configure(place: Place) -> None:
    """Write airflow.cfg, accounts and DAG links of a place.

    Keys are made once, and another database, login (`core.auth_manager`), executor, broker or receiver of metrics that
    somebody named there stays; everything else is written anew.
    """
    path = place.airflow_home / "airflow.cfg"
    old = configparser.ConfigParser(interpolation=None)
    old.read(path)
    keys = {section: dict(old[section]) for section in old.sections()}
    passwords(place)
    new = configparser.ConfigParser(interpolation=None)
    new.read_dict(sections(place, link_dags(place), keys))
    text = io.StringIO()
    new.write(text)
    write_bytes(path, text.getvalue().encode(), mode=0o600)


def sections(place: Place, dags: Path, keys: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The settings by section; `keys` are the sections of the file written before, whose secrets are kept."""

    def kept(section: str, key: str, fresh: str) -> str:
        return keys.get(section, {}).get(key, fresh)

    fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {
        "core": {
            "dags_folder": str(dags),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "executor": kept("core", "executor", "LocalExecutor"),
            "parallelism": "3",
            "max_active_tasks_per_dag": "4",
            "dagbag_import_timeout": "150",
            "fernet_key": kept("core", "fernet_key", fernet),
            "auth_manager": kept("core", "auth_manager", SIMPLE),
            "execution_api_server_url": f"{place.url}/execution/",
            "simple_auth_manager_users": ",".join(f"{name}:{role}" for name, role in roles(place).items()),
            "simple_auth_manager_passwords_file": str(place.airflow_home / "passwords.json"),
        },
        "database": {
            "sql_alchemy_conn": kept("database", "sql_alchemy_conn", f"sqlite:///{place.airflow_home}/airflow.db")
        },
        "api": {
            "host": HOST,
            "port": str(place.port),
            "base_url": place.url,
            **SERVER,
            "instance_name": "Konsil centre" if place.is_centre else f"Konsil site {place.name}",
            "secret_key": kept("api", "secret_key", secrets.token_urlsafe(48)),
            "theme": json.dumps(THEME),
        },
        "api_auth": {"jwt_secret": kept("api_auth", "jwt_secret", secrets.token_urlsafe(64))},
        "logging": {"base_log_folder": str(place.airflow_home / "logs")},
        "celery": {"worker_concurrency": "2", **keys.get("celery", {})},
        "metrics": keys.get("metrics", {}),
        **LEAN,
    }


def environment(place: Place, marker: str) -> dict[str, str]:
    """Environment of every process of a place: ours, without the Airflow and Konsil settings of whoever starts it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "KONSIL_"))}
    return clean | {
        "AIRFLOW_HOME": str(place.airflow_home),
        "KONSIL_HOME": str(place.home),
        "KONSIL_STACK": marker,
        **NO_SIDE_DOOR,
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "no_proxy": f"{HOST},localhost",
    }
