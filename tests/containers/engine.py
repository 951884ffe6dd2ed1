"""The engine as the tests use it: Debian's client, because a newer one beside it may not speak to Debian's engine."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
STANDINS = {
    "KONSIL_DATABASE_IMAGE": "konsil/postgres",
    "KONSIL_STORE_IMAGE": "konsil/store",
    "KONSIL_ORTHANC_IMAGE": "konsil/orthanc",
}
"""Where no registry answers: our own images in the place of PostgreSQL's, of the S3 server's and of Orthanc's."""
START_S = 1500


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DOCKER, *words], capture_output=True, text=True, check=check, timeout=900)


def compose(
    folder: Path, *words: str, profiles: Sequence[str] = ("all-in-one",), files: Sequence[str] = (), check: bool = True
) -> str:
    chosen = [word for file in files for word in ("--file", file)]
    chosen += [word for profile in profiles for word in ("--profile", profile)]
    command = ["docker-compose", "--env-file", str(folder / "stack.env"), *chosen, *words]
    end = subprocess.run(
        command, cwd=ROOT, env=os.environ | STANDINS, capture_output=True, text=True, check=False, timeout=1800
    )
    if check and end.returncode:
        raise AssertionError(f"{' '.join(words)}: {end.stderr[-2000:]}")
    return end.stdout + end.stderr


def down(folder: Path, profiles: Sequence[str] = ("all-in-one",), files: Sequence[str] = ()) -> None:
    """Take a stack down; nothing of it may be left."""
    compose(folder, "down", "--volumes", "--timeout", "10", profiles=profiles, files=files, check=False)
    assert left_of("konsil") == {"ps --all": [], "volume ls": [], "network ls": []}


def left_of(project: str) -> dict[str, list[str]]:
    """IDs of what the engine holds of a compose project: containers, volumes, networks."""
    label = f"label=com.docker.compose.project={project}"
    kinds = ("ps --all", "volume ls", "network ls")
    return {kind: docker(*kind.split(), "--quiet", "--filter", label).stdout.split() for kind in kinds}


def container(service: str) -> str:
    """The container of a service, running or not."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()[0]


def inspected(service: str) -> Any:
    return json.loads(docker("inspect", container(service)).stdout)[0]


def addresses(service: str) -> list[str]:
    """Its addresses in all its networks."""
    return [network["IPAddress"] for network in inspected(service)["NetworkSettings"]["Networks"].values()]


def health(service: str) -> str:
    found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.service={service}").stdout.split()
    return inspected(service)["State"].get("Health", {}).get("Status", "none") if found else "absent"


def wait_until_healthy(services: Sequence[str], timeout_s: float = START_S) -> None:
    deadline = time.monotonic() + timeout_s
    while sick := {name: found for name in services if (found := health(name)) != "healthy"}:
        assert time.monotonic() < deadline, f"not healthy: {sick}"
        time.sleep(3)


REACH = """
import concurrent.futures, socket, sys
def stands(place):
    host, port = place.rsplit(":", 1)
    try: socket.create_connection((host, int(port)), 5).close()
    except OSError: return ""
    return place
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(*filter(None, pool.map(stands, sys.argv[1:])))
"""


def reached(service: str, places: Iterable[str]) -> list[str]:
    """Those of some addresses (`host:port`) to which a connection from inside a service stands."""
    return docker("exec", container(service), "python", "-c", REACH, *places).stdout.split()
