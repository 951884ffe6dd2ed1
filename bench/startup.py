"""How long Konsil takes to answer: `import konsil`, `konsil --help`, and the import of every DAG file.

Each is a fresh interpreter; the figures are medians over `--runs` of wall seconds and of CPU seconds (user + system).
An empty interpreter and `import airflow.sdk` stand beside them: what a DAG file costs is its row less Airflow's own.

    python bench/startup.py --json build/bench/startup.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def once(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one fresh interpreter."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_of(arguments: list[str], runs: int) -> dict[str, float]:
    """Medians after one run that is not counted."""
    once(arguments)
    pairs = [once(arguments) for _ in range(runs)]
    wall, cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "wall_max_s": round(max(pair[0] for pair in pairs), 3)}


def figures(runs: int) -> dict[str, dict[str, float]]:
    """All figures by name."""
    work = {
        "empty": ["-c", "pass"],
        "import konsil": ["-c", "import konsil"],
        "konsil --help": ["-m", "konsil.cli", "--help"],
        "import airflow.sdk": ["-c", "import airflow.sdk"],
    }
    for path in sorted((ROOT / "dags").glob("*.py")):
        work[f"dags/{path.name}"] = ["-c", f"import runpy; runpy.run_path({str(path)!r})"]
    return {name: median_of(arguments, runs) for name, arguments in work.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    result = figures(chosen.runs)
    for name, row in result.items():
        print(f"{name:32} {row['wall_s']:7.3f} s  {row['cpu_s']:7.3f} CPU-s")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
