"""Hold docs/guides/it.md against docker-compose.yaml (ports, variables, memory limits, profiles) and a running stack.

Exit code 1 with a sentence for every disagreement. Usage: python scripts/check_it_guide.py [--running] [GUIDE COMPOSE]
`--running` asks the engine what the services of the project `konsil` really publish and may use.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
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
    limits = limits_in(guide)
    for name, service in services.items():
        limit = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", str(service.get("mem_limit")))
        said = [memory for pattern, memory in limits if fnmatch(name, pattern)]
        if said != [limit]:
            wrong.append(f"{name} may use {limit}, the guide says {', '.join(said) or 'nothing'}")
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    wrong += [f"the guide does not name the profile {name}" for name in sorted(profiles) if f"`{name}`" not in guide]
    return wrong


def limits_in(guide: str) -> list[tuple[str, str]]:
    """Pattern of services and memory limit, from the guide's table."""
    return [(row[0].split(",")[0], row[1].split()[0]) for row in rows(guide) if len(row) == 2]


def running() -> list[dict[str, Any]]:
    """What the engine says of every container of the stack."""
    docker = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
    label = "label=com.docker.compose.project=konsil"
    names = subprocess.run([docker, "ps", "--quiet", "--filter", label], capture_output=True, text=True, check=True)
    words = [docker, "inspect", *names.stdout.split()]
    return list(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))


def in_bytes(limit: str) -> int:
    """`512m` or `8g` as bytes."""
    return int(limit[:-1]) * {"m": 1 << 20, "g": 1 << 30}[limit[-1]]


def faults_of_running(guide: str, containers: list[dict[str, Any]]) -> list[str]:
    """A sentence for everything in which the guide and the stack that runs disagree."""
    wrong = [] if containers else ["no stack runs"]
    told = {(row[0], row[1], row[2]) for row in rows(guide) if len(row) == 5}
    limits = limits_in(guide)
    for found in containers:
        service, host = found["Config"]["Labels"]["com.docker.compose.service"], found["HostConfig"]
        for inner, bindings in (host["PortBindings"] or {}).items():
            for outer in (f"{one['HostIp'] or '*'}:{one['HostPort']}" for one in bindings):
                if (service, inner.partition("/")[0], outer) not in told:
                    wrong.append(f"{service} publishes {outer}, which the guide does not say")
        said = [in_bytes(memory) for pattern, memory in limits if fnmatch(service, pattern)]
        if said != [host["Memory"]]:
            wrong.append(f"{service} may use {host['Memory']} bytes, the guide says {said or 'nothing'}")
        confined = host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
        if not confined or "no-new-privileges:true" not in (host["SecurityOpt"] or []):
            wrong.append(f"{service} is not confined as the guide says")
    return wrong


def main() -> None:
    """Compare and end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--running", action="store_true")
    parser.add_argument("guide", nargs="?", type=Path, default=ROOT / "docs/guides/it.md")
    parser.add_argument("compose", nargs="?", type=Path, default=ROOT / "docker-compose.yaml")
    asked = parser.parse_args()
    guide = asked.guide.read_text(encoding="utf-8")
    wrong = faults(guide, yaml.safe_load(asked.compose.read_text(encoding="utf-8")))
    wrong += faults_of_running(guide, running()) if asked.running else []
    for sentence in wrong:
        print(f"it.md: {sentence}", file=sys.stderr)  # noqa: T201 - a script speaks
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
