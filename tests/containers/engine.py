"""The engine as the tests use it: Debian's client, because a newer one beside it may not speak to Debian's engine."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
STANDINS = {
    "KONSIL_DATABASE_IMAGE": "konsil/postgres",
    "KONSIL_STORE_IMAGE": "konsil/store",
}
"""Where no registry answers: our own images in the place of PostgreSQL's and of the S3 server's."""


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DOCKER, *words], capture_output=True, text=True, check=check, timeout=900)


def compose(folder: Path, *words: str, profile: str = "all-in-one", check: bool = True) -> str:
    command = ["docker-compose", "--env-file", str(folder / "stack.env"), "--profile", profile, *words]
    end = subprocess.run(
        command, cwd=ROOT, env=os.environ | STANDINS, capture_output=True, text=True, check=False, timeout=1800
    )
    if check and end.returncode:
        raise AssertionError(f"{' '.join(words)}: {end.stderr[-2000:]}")
    return end.stdout + end.stderr
