"""Which page makes an API server grow: each of those of `bench/leak.py`, asked for again and again by itself.

A centre and two sites, each with its own Airflow, end a federation of twelve rounds; then one person asks for one page
at a time `--times` times, first at the centre, then at a site. The worker of that API server is weighed after each
quarter of them. A page that comes later finds room that an earlier one gave back: only what is added counts.

    python bench/page_memory.py --json build/bench/page_memory.json
    python bench/page_memory.py --times 4000 --page "list of DAGs"     does it ever end?
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.leak import RUN, Reader, pages, started, tell, total, weigh
from konsil.stack.places import CENTRE
from tests.e2e.village import Village

ROUNDS, QUARTERS, WARM = 12, 4, 10


def worker(village: Village, name: str) -> float:
    """MB of the worker of a place's API server."""
    return total(weigh(village)[f"{name}.api-server"])


def asked(village: Village, reader: Reader, name: str, path: str, times: int) -> list[float]:
    """MB before, and after each quarter of the requests for one page."""
    weights = [worker(village, name)]
    for _ in range(QUARTERS):
        for _ in range(times // QUARTERS):
            reader.session(name).get(f"{village.place(name).url}/{path}", timeout=120).raise_for_status()
        weights.append(worker(village, name))
    return weights


def figures(times: int, only: str | None) -> dict[str, Any]:
    """The whole run."""
    with tempfile.TemporaryDirectory(prefix="konsil-pages-") as folder:
        village = Village(Path(folder), ["A", "B"], answers_s=300)
        try:
            started(village)
            village.start(RUN, rounds=ROUNDS, patience_s=0, site_patience_s=0)
            village.wait_for_end(RUN, timeout_s=1800)
            reader = Reader(village)
            for _ in range(WARM):
                reader.look()
            found = {
                f"{name}: {title}": asked(village, reader, name, path, times)
                for name in (CENTRE, "A")
                for title, path in pages(name).items()
                if only in (None, title)
            }
        finally:
            village.down()
    return {"times": times, "mb": found}


def table(result: dict[str, Any]) -> str:
    """By page: MB before and after, and kB for each request."""
    lines = ["| page | MB before → after | kB a request | in the last quarter |", "|---|---|---|---|"]
    for title, weights in result["mb"].items():
        each = 1000 * (weights[-1] - weights[0]) / result["times"]
        last = 1000 * (weights[-1] - weights[-2]) / (result["times"] // QUARTERS)
        lines.append(f"| {title} | {weights[0]:.1f} → {weights[-1]:.1f} | {each:.1f} | {last:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--times", type=int, default=800, help=f"requests for each page, at least {QUARTERS}")
    parser.add_argument("--page", choices=pages("A"), help="this page alone")
    chosen = parser.parse_args()
    if chosen.times < QUARTERS:
        parser.error(f"--times must be at least {QUARTERS}: memory is weighed after each quarter of the requests")
    tell(lambda: figures(chosen.times, chosen.page), table, chosen.json)
