"""How long Konsil takes to answer: `import konsil`, `konsil --help`, and the import of every DAG file.

Each is a fresh interpreter; the figures are medians over `--runs` of wall seconds and of CPU seconds (user + system).
An empty interpreter and `import airflow.sdk` stand beside them. `in the DAG processor` is what a file takes where
Airflow reads it: in a process that has loaded Airflow's own `dag_processing.processor`, and none of our modules.

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


PROCESSOR = """
import airflow.dag_processing.processor, runpy, sys, time
start = time.monotonic()
runpy.run_path(sys.argv[1])
print(time.monotonic() - start)
"""


def in_the_processor(path: Path, runs: int) -> dict[str, float]:
    """Wall seconds of one DAG file in processes that have loaded Airflow, the median over `runs`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-c", PROCESSOR, str(path)]
    said = [subprocess.run(command, check=True, capture_output=True, env=environment).stdout for _ in range(runs)]
    seconds = [float(text.split()[-1]) for text in said]
    return {"wall_s": round(statistics.median(seconds), 3), "wall_max_s": round(max(seconds), 3)}


def figures(runs: int) -> dict[str, dict[str, float]]:
    """All figures by name."""
    work = {
        "empty": ["-c", "pass"],
        "import konsil": ["-c", "import konsil"],
        "konsil --help": ["-m", "konsil.cli", "--help"],
        "import airflow.sdk": ["-c", "import airflow.sdk"],
    }
    files = sorted((ROOT / "dags").glob("*.py"))
    for path in files:
        work[f"dags/{path.name}"] = ["-c", f"import runpy; runpy.run_path({str(path)!r})"]
    found = {name: median_of(arguments, runs) for name, arguments in work.items()}
    return found | {f"dags/{path.name}, in the DAG processor": in_the_processor(path, runs) for path in files}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    result = figures(chosen.runs)
    for name, row in result.items():
        print(f"{name:52} {row['wall_s']:7.3f} s, at most {row['wall_max_s']:.3f}")
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")
