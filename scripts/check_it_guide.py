"""Hold docs/guides/it.md against docker-compose.yaml: ports, variables, memory limits, profiles.

Exit code 1 with a sentence for every disagreement. Usage: python scripts/check_it_guide.py [GUIDE COMPOSE]
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PORT = re.compile(r"\$\{(\w+):-([\d.]+:\d+)\}:(\d+)")


def rows(guide: str) -> list[list[str]]:
    """Cells of all table rows of the guide, without their backticks."""
    lines = [line for line in guide.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def faults(guide: str, compose: dict[str, Any]) -> list[str]:
    """A sentence for everything in which guide and compose file disagree."""
    services = compose["services"]
    wrong = []
    told = {tuple(row[:4]) for row in rows(guide) if len(row) == 5}
    real = {
        (name, inner, outer, variable)
        for name, service in services.items()
        for variable, outer, inner in PORT.findall(" ".join(service.get("ports", [])))
    }
    wrong += [f"the guide does not name the port {' '.join(row)}" for row in sorted(real - told)]
    wrong += [f"the guide names a port that is not published: {' '.join(row)}" for row in sorted(told - real)]
    limits = [(row[0].split(",")[0], row[1].split()[0]) for row in rows(guide) if len(row) == 2]
    for name, service in services.items():
        limit = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", str(service.get("mem_limit")))
        said = [memory for pattern, memory in limits if fnmatch(name, pattern)]
        if said != [limit]:
            wrong.append(f"{name} may use {limit}, the guide says {', '.join(said) or 'nothing'}")
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    wrong += [f"the guide does not name the profile {name}" for name in sorted(profiles) if f"`{name}`" not in guide]
    return wrong


def main() -> None:
    """Compare and end."""
    guide, compose = [Path(word) for word in sys.argv[1:3]] or [
        ROOT / "docs/guides/it.md",
        ROOT / "docker-compose.yaml",
    ]
    wrong = faults(guide.read_text(encoding="utf-8"), yaml.safe_load(compose.read_text(encoding="utf-8")))
    for sentence in wrong:
        print(f"it.md: {sentence}", file=sys.stderr)  # noqa: T201 - a script speaks
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
