"""What Airflow adds to a round: from a site's update to its next training, warm and from one stint to the next.

A real stack (a centre, `--sites` sites, each with its own Airflow, and the S3 server) runs two federations of a learner
that only waits (`--train-s` seconds a round). In the first, every round falls into one warm stint; in the second,
patience is 0, so that centre **and** sites end their stint after each deed, and every deed is a DAG run of its own.

From what the run itself leaves (times of the manifests in the store, the learner's journal, the seconds of averaging
in the global model's facts):

    warm_s   last update of a round in the store -> last site begins the next training, less the averaging; warm
    stint_s  the same when centre and sites have to be woken
    of it: centre_s until the global model lies in the store, site_s from there to the training

Moving the models is not taken off, and they are tiny. Medians and ranges over the rounds but the first, in which the
centre has to be woken in either federation; it is told as `first_s`.

    python bench/orchestration.py --json build/bench/orchestration.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from konsil.federation.mailbox import open_mailbox
from konsil.federation.slot import Kind
from konsil.stack.places import CENTRE
from tests.e2e.village import Village

MODES: dict[str, float | None] = {"warm": None, "stint": 0.0}
PARTS = ("whole_s", "centre_s", "site_s")
Row = dict[str, float]


def stamps(village: Village, run: str) -> dict[int, Row]:
    """By round: when its last update and its global model lay in the store, and the seconds of averaging."""
    found: dict[int, Row] = {}
    averaging = {
        letter.slot.round: float(letter.manifest.facts.get("seconds", 0.0))
        for letter in open_mailbox(village.place(CENTRE).home, run).letters()
        if letter.slot.kind is Kind.global_ and letter.slot.round
    }
    for number, seconds in averaging.items():
        place = f"rounds/{number:04d}"
        updates = [path for site in village.sites for path in village.manifests(site, run, f"{place}/updates/*")]
        (model,) = village.manifests(CENTRE, run, f"{place}/global")
        last = max(path.stat().st_mtime for path in updates)
        found[number] = {"update": last, "model": model.stat().st_mtime, "averaging": seconds}
    return found


def rounds(village: Village, run: str) -> list[Row]:
    """What each round but the last took beside training and averaging."""
    begins = {site: {line["round"]: line["began"] for line in village.trained(site, run)} for site in village.sites}
    rows = []
    for number, at in sorted(stamps(village, run).items()):
        starts = [begun[number + 1] for begun in begins.values() if number + 1 in begun]
        if len(starts) == len(village.sites):
            centre_s, site_s = at["model"] - at["update"] - at["averaging"], max(starts) - at["model"]
            rows.append({"whole_s": centre_s + site_s, "centre_s": centre_s, "site_s": site_s})
    return rows


def summary(rows: list[Row]) -> dict[str, Any]:
    """Median and range of each part."""
    found: dict[str, Any] = {"rounds": len(rows)}
    for part in PARTS:
        values = [row[part] for row in rows]
        found[part] = {"median": round(statistics.median(values), 2)}
        found[part] |= {"min": round(min(values), 2), "max": round(max(values), 2)}
    return found


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """Both federations, one after the other in one stack."""
    sites, found = [chr(ord("A") + number) for number in range(chosen.sites)], {}
    with tempfile.TemporaryDirectory(prefix="konsil-orchestration-") as folder:
        village = Village(Path(folder), sites)
        try:
            village.up()
            for mode, patience_s in MODES.items():
                run, began, load = f"bench-{mode}", time.monotonic(), os.getloadavg()[0]
                patience = {"patience_s": patience_s, "site_patience_s": patience_s}
                village.start(run, rounds=chosen.rounds, pause_s=chosen.train_s, **patience)
                village.wait_for_end(run, timeout_s=1800)
                stints = {name: len(village.stints(name, run)) for name in (CENTRE, *sites)}
                first, *others = rounds(village, run)
                found[mode] = {
                    **summary(others),
                    "first_s": round(first["whole_s"], 2),
                    "stints": stints,
                    "load_before": round(load, 1),
                }
                found[mode]["seconds"] = round(time.monotonic() - began, 1)
                print(line(mode, found[mode]), flush=True)
        finally:
            village.down()
    headline = {f"{mode}_s": row["whole_s"]["median"] for mode, row in found.items()}
    return {**headline, "sites": chosen.sites, "train_s": chosen.train_s, "modes": found}


def line(mode: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = [f"{row[part]['median']:.2f} ({row[part]['min']:.2f}–{row[part]['max']:.2f})" for part in PARTS]
    return f"| {mode} | {' | '.join(cells)} | {row['rounds']} | {max(row['stints'].values())} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--train-s", type=float, default=3.0, help="seconds of a training; long enough to wait warm")
    chosen = parser.parse_args()
    print("| | s | centre | site | rounds | stints |\n|---|---|---|---|---|---|")
    result = figures(chosen)
    print(f"warm_s {result['warm_s']}, stint_s {result['stint_s']}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
