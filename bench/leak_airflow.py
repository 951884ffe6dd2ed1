"""What Airflow alone adds to its memory: the control of `bench/leak.py`, without a line of konsil in it.

One Airflow with our settings (`konsil.stack.configuration`) runs a DAG of the shape of a stint `--runs` times over:
a wait that starts and ends in the triggerer, a task that runs a process and returns a value, and one that starts the
next run. konsil's plugin is not loaded, its DAGs are not there, and the pages that are opened after each run are
Airflow's own: the list of DAGs and the grid. Weighed and judged as `bench/leak.py` does it.

    python bench/leak_airflow.py --json build/bench/leak_airflow.json
    python bench/leak_airflow.py --set MALLOC_ARENA_MAX=2     with a variable in the environment of every component
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.leak import SETTLED, Sample, growth, memory_table, tell, total, weighed
from konsil.errors import KonsilError
from konsil.sdk.airflow import AirflowClient
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.configuration import configure, environment
from konsil.stack.health import unhealthy
from konsil.stack.instance import AIRFLOW, COMPONENTS, migrate
from konsil.stack.places import Place, Plan, make_plan
from konsil.stack.processes import find, start
from tests.e2e.village import eventually, quietly

DAG = """
import subprocess, sys
from datetime import timedelta
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import Param, dag, task

RETRIES = {"retries": 10, "retry_delay": timedelta(seconds=5)}  # as ours: a full machine kills a task now and then

@dag(schedule=None, catchup=False, default_args=RETRIES, params={"number": Param(1, type="integer")},
     render_template_as_native_obj=True)
def control():
    @task.short_circuit
    def work(params=None):
        subprocess.run([sys.executable, "-c", "import json, logging, uuid"], check=True)
        return params["number"] < RUNS

    begun = "2026-01-01T00:00:00+00:00"
    wait = DateTimeSensorAsync(task_id="wait", target_time=begun, start_from_trigger=True, end_from_trigger=True)
    following = TriggerDagRunOperator(
        task_id="next", trigger_dag_id="control", trigger_run_id="control__{{ params.number + 1 }}",
        conf={"number": "{{ params.number + 1 }}"}, reset_dag_run=False,
    )
    wait >> work() >> following

control()
"""
PLUGIN = "class KonsilPlugin:\n    pass\n"
PAGES = ("ui/dags?limit=50", "ui/grid/runs/control?limit=50", "ui/grid/structure/control?limit=50")


@contextmanager
def airflow(folder: Path, runs: int, settings: dict[str, str]) -> Iterator[tuple[Plan, Place]]:
    """One Airflow that knows the DAG `control` and no plugin; it ends with the block."""
    plan = make_plan(folder / "stack", ["A"])
    (place,) = plan.sites
    configure(place)
    for path, text in {"dags/control.py": DAG.replace("RUNS", str(runs)), "empty/plugins/reports.py": PLUGIN}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "empty/plugins/__init__.py").touch()
    variables = environment(place, plan.marker) | settings
    variables |= {"AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags")}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder / "empty"), variables.get("PYTHONPATH"))))
    try:
        migrate(place, variables, quietly)
        for part, words in COMPONENTS.items():
            command = [sys.executable, *AIRFLOW, *words]
            start(f"A.{part}", command, folder=plan.folder, env=variables, cwd=place.airflow_home)
        eventually(lambda: not unhealthy(place, timeout_s=60), "a healthy Airflow", timeout_s=900)
        yield plan, place
    finally:
        supervisor.down(plan, say=quietly)


def weigh(plan: Plan) -> Sample:
    """Bytes in memory by component and process id."""
    found: Sample = {}
    for part in COMPONENTS:
        process = find(f"A.{part}", plan.folder)
        if process is not None:
            found |= weighed(part, process.pid)
    return found


def done(place: Place) -> int:
    """Runs of the control that succeeded."""
    address = f"file:{place.airflow_home / 'airflow.db'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=60)) as connection:
        row = connection.execute("SELECT COUNT(*) FROM dag_run WHERE dag_id = 'control' AND state = 'success'")
        return int(row.fetchone()[0])


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The whole run."""
    settings = dict(pair.split("=", 1) for pair in chosen.set)
    with (
        tempfile.TemporaryDirectory(prefix="konsil-control-") as folder,
        airflow(Path(folder), chosen.runs, settings) as (plan, place),
    ):
        client = AirflowClient(place.url, "admin", passwords(place)["admin"], timeout_s=300)
        eventually(lambda: knows(client), "the DAG control", timeout_s=900)
        samples = observed(plan, place, client, chosen.runs)
    sums = {number: {name: total(one) for name, one in sample.items()} for number, sample in samples.items()}
    load = round(os.getloadavg()[0], 1)
    return {"runs": chosen.runs, "set": settings, "load": load, "memory": growth(samples), "samples_mb": sums}


def knows(client: AirflowClient) -> bool:
    """Whether the DAG processor has read the control."""
    with suppress(KonsilError):
        return bool(client.call("GET", "dags/control"))
    return False


def observed(plan: Plan, place: Place, client: AirflowClient, runs: int) -> dict[int, Sample]:
    """Start the first run and weigh after each."""
    samples: dict[int, Sample] = {}
    client.login()
    person = requests.Session()
    person.cookies.set("_token", client._token)
    began = time.monotonic()
    client.trigger("control", {"number": 1})
    for number in range(1, runs + 1):
        eventually(lambda number=number: done(place) >= number, f"run {number}", timeout_s=1800)  # type: ignore[misc]
        samples[number] = weigh(plan)
        for page in PAGES:
            person.get(f"{place.url}/{page}", timeout=120).raise_for_status()
        print(f"run {number}: {(time.monotonic() - began) / 60:.1f} min", file=sys.stderr, flush=True)
    return samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--runs", type=int, default=100, help="more than ten")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="in every environment")
    chosen = parser.parse_args()
    if chosen.runs <= SETTLED + 2:
        parser.error(f"--runs must be more than {SETTLED + 2}: growth is told after the first {SETTLED}")
    tell(lambda: figures(chosen), lambda result: "\n".join(memory_table(result["memory"])), chosen.json)
