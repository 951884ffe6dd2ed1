"""How quickly the tab Quality shows a cohort of 500 cases and one of them, in a real browser.

    python bench/quality_tab.py --cases 500 --json build/bench/quality_tab.json

The pages are written by the library from drawn-up measures and the pictures of one small image; they are served by the
plugin's application. `list_s`: from asking for the cohort's page until its table is painted and the decisions have
come; `case_s`: the same for the page of a case; `sift_s`: from a click on a verdict until the table is painted. Medians
of the rounds, with the range.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from konsil.cohort.cases import Case
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, write_volume
from konsil.files import write_json
from konsil.quality import report as pages

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
MEASURES = 20
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Reviewer:
    """Somebody Airflow knows, who may do everything."""

    def get_name(self) -> str:
        """The name."""
        return "reviewer"

    def is_authorized_dag(self, **asked: Any) -> bool:
        """Yes."""
        return True

    def is_authorized_hitl_task(self, **asked: Any) -> bool:
        """Yes."""
        return True


def measured(number: int) -> dict[str, Any]:
    """Measures of a case, spread so that verdicts differ."""
    verdict = ("pass", "pass", "pass", "warn", "fail")[number % 5]
    values = np.random.default_rng(number).normal(size=MEASURES)
    line = {"image": "T1w", "text": "", "unit": "", "better": "lower", "note": "", "limits": {"warn_above": 3.0}}
    keys = list(pages.measure_kinds())[:MEASURES]
    lines = {
        key: {**line, "title": key, "value": float(value), "verdict": "pass"}
        for key, value in zip(keys, values, strict=False)
    }
    reasons = [] if verdict == "pass" else ["It looks odd in a way that takes a whole sentence to say."]
    limits = {"profile": "wide", "voxel_mm": 1.0}
    told = {"verdict": verdict, "reasons": reasons, "failures": verdict == "fail"}
    return {**told, "measures": lines, "limits": limits, "Software": {}}


def make_cohort(home: Path, cases: int) -> CohortFolder:
    """A cohort whose cases share the pictures of one image of 96 x 96 x 48 voxels."""
    folder = SiteFolder(home).cohort("ms-large")
    image = np.random.default_rng(0).normal(100, 20, (96, 96, 48)).astype(np.float32)
    first = home / "first.nii.gz"
    write_volume(first, Volume(image, np.eye(4)))
    drawn: dict[str, str] = {}
    draw = pages.draw
    pages.draw = lambda sources, origin: (
        drawn.setdefault("", "") or drawn.update({"": draw(sources, origin)}) or drawn[""]
    )
    for number in range(cases):
        case = Case(f"{number:04d}", "1")
        for suffix in ("T1w", "FLAIR"):
            for path in (folder.raw(case, suffix), folder.oriented(case, suffix)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.hardlink_to(first)
        write_json(folder.qc(case), measured(number))
    pages.report(folder)
    return folder


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The plugin's application on this machine; gives its address."""
    os.environ["KONSIL_HOME"] = str(home)
    os.environ.setdefault("AIRFLOW_HOME", str(home / "airflow"))
    import uvicorn
    from airflow.api_fastapi.core_api.security import get_user

    from plugins import reviews
    from plugins.app import build

    reviews.get_auth_manager = Reviewer  # type: ignore[assignment]
    app = build()
    app.dependency_overrides[get_user] = Reviewer
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def look(address: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of every round."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {"list_s": [], "sift_s": [], "case_s": []}
    binary = next(path for path in CHROMIUM if Path(path).exists())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1290, "height": 850})
        for _ in range(rounds):
            began = time.perf_counter()
            page.goto(f"{address}/quality/ms-large/cohort.html", wait_until="domcontentloaded")
            page.locator("#state", has_text="decided").wait_for()
            page.evaluate(PAINTED)
            found["list_s"].append(time.perf_counter() - began)
            began = time.perf_counter()
            page.locator("[data-only=fail]").click()
            page.evaluate(PAINTED)
            found["sift_s"].append(time.perf_counter() - began)
            began = time.perf_counter()
            page.goto(f"{address}/quality/ms-large/sub-0004_ses-1.html", wait_until="domcontentloaded")
            page.locator("#accept:enabled").wait_for()
            page.evaluate(PAINTED)
            found["case_s"].append(time.perf_counter() - began)
        browser.close()
    return found


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_cohort(Path(folder), given.cases)
        size = (cohort.reports / "cohort.html").stat().st_size
        with served(Path(folder)) as address:
            found = look(address, given.rounds)
    figures: dict[str, Any] = {"cases": given.cases, "page_bytes": size, "load": os.getloadavg()[0]}
    for name, values in found.items():
        figures |= {name: round(median(values), 3), f"{name}_range": [round(min(values), 3), round(max(values), 3)]}
        print(f"{name}: {median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    if given.json:
        write_json(given.json, figures)


if __name__ == "__main__":
    main()
