"""What `make stack-test` took: sizes of the images into the file KONSIL_STACK_FIGURES, and that file as a table.

Usage: python scripts/stack_figures.py images --seconds S [--docker PROGRAM] | table
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

STANDINS = {"postgres", "orthanc", "redis"}
MB = 1_000_000
NAMES = {
    "build": "build all images",
    "up": "up and healthy",
    "enrolment": "enrol the sites",
    "cohorts": "patients made, cohorts prepared and signed",
    "federation": "federation, charter to released model",
    "backup_of_a_home": "one site's home copied while it trains",
    "moved_site_up": "that site up on another host",
    "backup_of_a_stack": "a site's whole stack copied (stopped, started again)",
    "restore_of_a_stack": "and restored",
    "upgrade": "new images, database brought up to date, healthy",
    "federation_after_upgrade": "federation after that",
    "cohort_by_workers": "cohort prepared by two Celery workers, one killed",
    "down": "down, nothing left",
}


def sizes(docker: str) -> dict[str, int]:
    """Bytes of every image of ours, by name."""
    words = [docker, "images", "--format", "{{.Repository}}"]
    names = sorted(
        {
            line.removeprefix("konsil/")
            for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            if line.startswith("konsil/")
        }
    )
    found = {}
    for name in names:
        words = [docker, "image", "inspect", "--format", "{{.Size}}", f"konsil/{name}"]
        found[name] = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| image | MB |", "|---|---|"]
    for name, size in found.get("images", {}).items():
        lines.append(f"| `{name}`{' (stand-in for tests)' if name in STANDINS else ''} | {size / MB:.0f} |")
    lines += ["", "| what | minutes |", "|---|---|"]
    for name, words in NAMES.items():
        if name in found:
            more = ", ".join(f"{value} {key}" for key, value in found[name].items() if key != "seconds")
            lines.append(f"| {words}{f' ({more})' if more else ''} | {found[name]['seconds'] / 60:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["images", "table"])
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--docker", default="docker")
    asked = parser.parse_args()
    file = Path(os.environ["KONSIL_STACK_FIGURES"])
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if asked.what == "images":
        found |= {"images": sizes(asked.docker)} | ({"build": {"seconds": asked.seconds}} if asked.seconds else {})
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))  # noqa: T201 - a script speaks


if __name__ == "__main__":
    main()
