"""Fifty rounds over four Airflows with a learner in no time: does anything grow, and do the pages stay quick?

A real stack (a centre, `--sites` sites, each with its own Airflow, and the S3 server) runs one federation. Patience is
0, so every deed is a DAG run of its own: 50 rounds are 50 stints at each place, hundreds of tasks and waits. After each
round, everything that lives through the run is weighed, and pages are asked for as a browser asks.

    memory     RSS of each component: its process and those of its children that were there at nine samples of ten;
               of an API server its worker and its parent, each by itself.
               Slope: Theil and Sen's median of pairwise slopes over the rounds after the tenth, with its 95 % interval
               (Sen 1968). "flat": the interval holds 0, or less than 1 % would be added in a hundred rounds
    pages      seconds until the whole answer is there, as a logged-in person, by page; in a real browser at the end
    database   bytes and rows of each place's Airflow, per round, and which tables hold them

    python bench/leak.py --json build/bench/leak.json
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
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import requests
from scipy.stats import theilslopes

sys.path.insert(0, str(Path(__file__).parents[1]))

from konsil.errors import KonsilError
from konsil.stack import bucket, instance
from konsil.stack.health import wait_until_ready
from konsil.stack.places import CENTRE
from konsil.stack.processes import find
from tests.e2e.village import STINTS, Village

RUN, SETTLED = "leak", 10
MB = 1e6
Sample = dict[str, dict[int, int]]


def weigh(village: Village) -> Sample:
    """Bytes in memory by component and process id; a task's own processes fall out later, because they do not last."""
    found: Sample = {}
    names = [f"{place.name}.{part}" for place in village.plan.places for part in instance.COMPONENTS]
    for name in (bucket.NAME, *names):
        process = find(name, village.plan.folder)
        if process is not None:
            found |= weighed(name, process.pid)
    return found


def weighed(name: str, pid: int) -> Sample:
    """One component with its children; an API server's worker alone, its parent beside it: they share most pages."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        children = parent.children(recursive=True)
        if name.endswith("api-server") and children:
            return {name: {one.pid: resident(one) for one in children}, f"{name} (parent)": {pid: resident(parent)}}
        return {name: {one.pid: resident(one) for one in (parent, *children)}}
    return {}


def resident(process: psutil.Process) -> int:
    """RSS in bytes; 0 for a process that has just ended."""
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def growth(samples: dict[int, Sample]) -> dict[str, dict[str, Any]]:
    """By component: MB at the tenth round and at the end, and the slope between."""
    found = {}
    for name in next(iter(samples.values())):
        counts: dict[int, int] = defaultdict(int)
        for sample in samples.values():
            for pid in sample.get(name, {}):
                counts[pid] += 1
        lasting = [pid for pid, count in counts.items() if count >= 0.9 * len(samples)]
        rounds = [number for number in sorted(samples) if number >= min(SETTLED, max(samples) // 5)]
        weights = [sum(samples[number].get(name, {}).get(pid, 0) for pid in lasting) / MB for number in rounds]
        found[name] = {"processes": len(lasting), **line_through(rounds, weights)}
    return found


def line_through(rounds: list[int], weights: list[float]) -> dict[str, Any]:
    """First and last MB, MB per round with its interval, and what that means."""
    slope, _, low, high = theilslopes(weights, rounds, alpha=0.95)
    flat = low <= 0 or slope * 100 < 0.01 * weights[0]
    words = "flat" if flat else f"grows by {100 * slope:.1f} MB in 100 rounds"
    ends = {"begin_mb": round(weights[0], 1), "end_mb": round(weights[-1], 1)}
    return {**ends, "mb_per_round": round(slope, 4), "interval": [round(low, 4), round(high, 4)], "words": words}


def pages(name: str) -> dict[str, str]:
    """What people look at, at one place: the list of DAGs, the grid of the stints, and the tabs."""
    dag = STINTS[name == CENTRE]
    found = {
        "list of DAGs": "ui/dags?limit=50",
        "grid: runs": f"ui/grid/runs/{dag}?limit=50",
        "grid: structure": f"ui/grid/structure/{dag}?limit=50",
        "tab Quality": "konsil/quality",
        "tab Federation": "konsil/federation",
        "tab Federation, the run": f"konsil/federation/{RUN}/now.html",
        "its news": f"konsil/federation/{RUN}/now",
    }
    return found if name == CENTRE else {**found, "tab Governance": "konsil/governance"}


class Reader:
    """A person at each place, who opens every page once in a while."""

    def __init__(self, village: Village) -> None:
        self.village = village
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.sessions: dict[str, requests.Session] = {}

    def look(self) -> None:
        """Open every page of every place once."""
        for name in self.village.with_airflow:
            for title, path in pages(name).items():
                began = time.monotonic()
                self.session(name).get(f"{self.village.place(name).url}/{path}", timeout=120).raise_for_status()
                self.seconds[title].append(time.monotonic() - began)

    def session(self, name: str) -> requests.Session:
        """The logged-in person of a place."""
        if name not in self.sessions:
            client = self.village.admin(name)
            client.login()
            self.sessions[name] = requests.Session()
            self.sessions[name].cookies.set("_token", client._token)
        return self.sessions[name]

    def told(self) -> dict[str, dict[str, float]]:
        """Median and slowest of each page, in seconds."""
        return {
            title: {"median_s": round(statistics.median(values), 3), "max_s": round(max(values), 3), "n": len(values)}
            for title, values in self.seconds.items()
        }


def database(village: Village, name: str) -> dict[str, int]:
    """Bytes of a place's SQLite database and rows by table, as they are now."""
    path = village.place(name).airflow_home / "airflow.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: connection.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0] for table in tables}  # noqa: S608
        size = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[
            0
        ]
    return {"bytes": size, **{f"rows {table}": count for table, count in rows.items()}}


def grown(before: dict[str, int], after: dict[str, int], rounds: int) -> dict[str, Any]:
    """What a round adds to a database, and the five tables with most new rows."""
    added = {key.removeprefix("rows "): after[key] - before.get(key, 0) for key in after if key.startswith("rows ")}
    most = sorted(added.items(), key=lambda item: -item[1])[:5]
    return {
        "end_mb": round(after["bytes"] / MB, 2),
        "kb_per_round": round((after["bytes"] - before["bytes"]) / 1e3 / rounds, 1),
        "rows_per_round": round(sum(added.values()) / rounds, 1),
        "tables": {table: round(count / rounds, 2) for table, count in most if count},
    }


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The whole run."""
    names = [chr(ord("A") + number) for number in range(chosen.sites)]
    with tempfile.TemporaryDirectory(prefix="konsil-leak-") as folder:
        village = Village(Path(folder), names, answers_s=300)
        try:
            started(village)
            return {"sites": chosen.sites, "rounds": chosen.rounds, **observed(village, chosen.rounds)}
        finally:
            village.down()


def started(village: Village) -> None:
    """Start the stack; on a full machine four Airflows need more than the four minutes that `up` gives each."""
    instance.wait_until_ready = partial(wait_until_ready, timeout_s=3600)  # type: ignore[attr-defined]
    village.up()


def observed(village: Village, rounds: int) -> dict[str, Any]:
    """Run one federation and watch it."""
    reader, samples, before = Reader(village), {}, {}
    began, load = time.monotonic(), os.getloadavg()[0]
    village.start(RUN, rounds=rounds, patience_s=0, site_patience_s=0)
    for number in range(1, rounds + 1):
        village.wait_for_round(RUN, number, timeout_s=1800)
        samples[number] = weigh(village)
        reader.look()
        if number == SETTLED:
            before = {name: database(village, name) for name in village.with_airflow}
        print(f"round {number}: {(time.monotonic() - began) / 60:.1f} min", file=sys.stderr, flush=True)
    after = {name: database(village, name) for name in village.with_airflow}
    village.wait_for_end(RUN, timeout_s=1800)
    samples[rounds + 1] = weigh(village)
    return {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "stints": {name: len(village.stints(name, RUN)) for name in village.with_airflow},
        "memory": growth(samples),
        "pages": reader.told() | in_a_browser(village),
        "database": {name: grown(before[name], after[name], rounds - SETTLED) for name in after},
        "samples_mb": {
            number: {name: total(one) for name, one in sample.items()} for number, sample in samples.items()
        },
    }


def total(sample: dict[int, int]) -> float:
    """MB of a component with everything it runs at that moment."""
    return round(sum(sample.values()) / MB, 1)


def in_a_browser(village: Village, visits: int = 5) -> dict[str, dict[str, float]]:
    """Seconds until the grid of the centre's stints is painted in Chromium, after all rounds; nothing without one."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import CHROMIUM, QUIET

    binary = next((path for path in CHROMIUM if Path(path).exists()), None)
    if binary is None:
        return {}
    client, seconds = village.admin(CENTRE), []
    client.login()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=QUIET)
        page = browser.new_page(viewport={"width": 1360, "height": 850})
        page.context.add_cookies([{"name": "_token", "value": client._token, "url": f"{client.url}/"}])
        for _ in range(visits):
            began = time.monotonic()
            page.goto(f"{client.url}/dags/{STINTS[True]}")
            page.get_by_text("Average").first.wait_for(timeout=180_000)
            seconds.append(time.monotonic() - began)
            page.goto("about:blank")
        browser.close()
    told = {"median_s": round(statistics.median(seconds), 2), "max_s": round(max(seconds), 2), "n": visits}
    return {"grid in Chromium": told}


def memory_table(memory: dict[str, dict[str, Any]]) -> list[str]:
    """The growth of each component, as lines of a table."""
    lines = ["| component | MB, round 10 → end | MB per round (95 %) | |", "|---|---|---|---|"]
    for name, row in memory.items():
        low, high = row["interval"]
        ends = f"{row['begin_mb']:.0f} → {row['end_mb']:.0f}"
        lines.append(f"| {name} | {ends} | {row['mb_per_round']:.3f} ({low:.3f} to {high:.3f}) | {row['words']} |")
    return lines


def tables(result: dict[str, Any]) -> str:
    """The figures as docs/airflow.md shows them: by component the worst place, pages, databases."""
    lines = [*memory_table(result["memory"])]
    lines += ["", "| page | median s | slowest s |", "|---|---|---|"]
    lines += [f"| {title} | {row['median_s']:.2f} | {row['max_s']:.2f} |" for title, row in result["pages"].items()]
    lines += ["", "| place | MB at the end | kB per round | rows per round | most in |", "|---|---|---|---|---|"]
    for name, row in result["database"].items():
        most = ", ".join(f"{table} {count:g}" for table, count in row["tables"].items())
        lines.append(
            f"| {name} | {row['end_mb']:.1f} | {row['kb_per_round']:.0f} | {row['rows_per_round']:.0f} | {most} |"
        )
    return "\n".join(lines)


def tell(measured: Callable[[], dict[str, Any]], table: Callable[[dict[str, Any]], str], out: Path | None) -> None:
    """Measure, print the table, and write the figures where somebody wants them."""
    try:
        result = measured()
    except KonsilError as error:
        sys.exit(error.sentence)
    print(table(result))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=50, help="more than ten")
    chosen = parser.parse_args()
    if chosen.rounds <= SETTLED + 2:
        parser.error(f"--rounds must be more than {SETTLED + 2}: growth is told after the first {SETTLED}")
    tell(lambda: figures(chosen), tables, chosen.json)
