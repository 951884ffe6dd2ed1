"""What runs cost that only wait: a real Airflow site with `--runs` federations in the triggerer, and its S3 server.

In each run the site has accepted the charter and sent its fingerprint, and waits for a recipe that does not come: a
*Train rounds* DAG run whose wait lies in the triggerer. Counted are the CPU seconds per minute and the memory of every
component and of the store, without waiting runs and with them, over `--minutes` after everything has settled. Then
some of the runs are ended by the centre, and it is told how long it took until their waits had ended (`wake_s`).

    python bench/waiting.py --runs 1000 --json build/bench/waiting.json
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e" / "instant"))

from instant_learner import Instant

from konsil.federation.charter import parse_charter
from konsil.federation.control import Action
from konsil.federation.steps import Wait
from konsil.parties.opening import open_party
from konsil.parties.steering import steer
from konsil.stack.places import CENTRE
from konsil.stack.processes import find
from konsil.storage.folder import FolderStore
from tests.e2e.village import COHORT, STINTS, Village, eventually

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
Row = dict[str, dict[str, float]]


def name_of(number: int) -> str:
    """The name of a run."""
    return f"waiting-{number:05d}"


def begin(village: Village, number: int) -> None:
    """A charter from the centre, the site's yes and its fingerprint, written where the server keeps its objects."""
    run, sites = name_of(number), list(village.sites)
    store = FolderStore(village.place(CENTRE).home / "store" / "data")
    centre = open_party(village.place(CENTRE).home, run, store)
    content = {"run": run, "sites": sites, "rounds": 5, "learner": {"name": "nnunet"}, "compare_with_local": False}
    centre.ledger.keep_charter(parse_charter(content))
    centre.step()
    site = open_party(village.place("A").home, run, store)
    site.look()
    site.ledger.decide(accepted=True, by="custodian", cohort=COHORT)
    site._learner_for = lambda charter: Instant({}, home=site.home, run=run)
    while not isinstance(site.step(), Wait):
        pass


def age(village: Village, numbers: range, quiet_s: float) -> None:
    """Let the runs have been quiet for so long, by the times of their files."""
    then = time.time() - quiet_s
    for number in numbers:
        for path in (village.place("A").home / "runs" / name_of(number)).glob("*.json"):
            os.utime(path, (then, then))


def wait_in_airflow(village: Village, numbers: range) -> None:
    """Start a stint for each run and return when all of them wait in the triggerer."""
    client = village.admin("A")
    client.login()
    for number in numbers:
        run = name_of(number)
        content = {"logical_date": None, "dag_run_id": f"{run}__stint_0001", "conf": {"run": run, "stint": 1}}
        client.call("POST", f"dags/{STINTS[False]}/dagRuns", content)
    eventually(lambda: watched(village) >= len(numbers), "the waits in the triggerer", timeout_s=3600)


def asked(village: Village, question: str, *values: object) -> list[Any]:
    """Rows of the site's Airflow database."""
    address = f"file:{village.place('A').airflow_home}/airflow.db?mode=ro"
    with sqlite3.connect(address, uri=True, timeout=30) as database:
        return database.execute(question, values).fetchall()


def watched(village: Village) -> int:
    """Waits that lie in the triggerer."""
    question = "SELECT count(*) FROM task_instance t JOIN trigger g ON t.trigger_id = g.id"
    return int(asked(village, f"{question} WHERE t.state = 'deferred' AND g.triggerer_id IS NOT NULL")[0][0])


def usage(village: Village) -> dict[str, tuple[float, float]]:
    """CPU seconds so far and MB of resident memory by component, children counted."""
    found = {}
    for name in [*(f"A.{part}" for part in PARTS), "bucket"]:
        process = find(name, village.plan.folder)
        if process is None:
            raise RuntimeError(f"{name} does not run")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        times = [one.cpu_times() for one in family]
        cpu = sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system
        found[name.removeprefix("A.")] = (cpu, sum(one.memory_info().rss for one in family) / 1e6)
    return found


def costs(village: Village, minutes: float) -> Row:
    """CPU seconds per minute and megabytes by component."""
    before = usage(village)
    time.sleep(60 * minutes)
    after = usage(village)
    return {
        name: {"cpu_s_per_minute": round((after[name][0] - cpu) / minutes, 2), "mb": round(after[name][1])}
        for name, (cpu, _) in before.items()
    }


def waking(village: Village, numbers: range) -> list[float]:
    """Seconds from the centre's last word in a run to the end of the site's wait."""
    found = []
    for number in numbers:
        home, run = village.place(CENTRE).home, name_of(number)
        steer(home, run, Action.ABORT, why="the bench is over")
        open_party(home, run).step()
        posted = time.monotonic()
        question = "SELECT state FROM task_instance WHERE task_id = 'wait' AND run_id = ?"
        eventually(lambda: asked(village, question, f"{run}__stint_0001")[0][0] == "success", "waking", timeout_s=300)  # noqa: B023
        found.append(round(time.monotonic() - posted, 1))
    return found


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything in one stack."""
    with tempfile.TemporaryDirectory(prefix="konsil-waiting-") as folder:
        village = Village(Path(folder), ["A", "B"], by_hand=(CENTRE, "B"))
        try:
            village.up()
            time.sleep(20)
            idle = costs(village, min(1.0, chosen.minutes))
            for number in range(chosen.runs):
                begin(village, number)
            print(f"{chosen.runs} runs begun", flush=True)
            age(village, range(chosen.runs), chosen.quiet_s)
            wait_in_airflow(village, range(chosen.runs))
            print("all wait in the triggerer", flush=True)
            time.sleep(chosen.settle_s)
            waiting = costs(village, chosen.minutes)
            wake = waking(village, range(3))
        finally:
            village.down()
    more = {name: round(row["cpu_s_per_minute"] - idle[name]["cpu_s_per_minute"], 2) for name, row in waiting.items()}
    return {
        "runs": chosen.runs,
        "quiet_s": chosen.quiet_s,
        "idle": idle,
        "waiting": waiting,
        "more_cpu_s_per_minute": more,
        "cores_per_1000": round(sum(more.values()) / 60 / chosen.runs * 1000, 3),
        "wake_s": {"median": statistics.median(wake), "max": max(wake)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--quiet-s", type=float, default=3600.0, help="how long nothing has happened in the runs")
    parser.add_argument("--settle-s", type=float, default=60.0)
    chosen = parser.parse_args()
    result = figures(chosen)
    for name, row in result["waiting"].items():
        idle = result["idle"][name]
        print(f"| {name} | {idle['cpu_s_per_minute']} | {row['cpu_s_per_minute']} | {idle['mb']} | {row['mb']} |")
    print(f"cores per 1000 waiting runs: {result['cores_per_1000']}; wake_s {result['wake_s']}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
