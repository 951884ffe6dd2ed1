"""Where a verb runs: in an interpreter of its own on this machine, or in a container. Chosen here and nowhere else.

`KONSIL_DOOR=process` is the default. `KONSIL_DOOR=docker` gives the same arguments to the image
`KONSIL_DOOR_IMAGE`: the place's home is mounted under its own path, the folders of `KONSIL_DOOR_READS` likewise but
read-only; the container has no capabilities, a read-only root, the user of this process, and no network unless the verb
talks to the store. Whoever may start containers is root on that machine: give this door to a site's scheduler only
where IT agrees.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from konsil.settings import Settings

NETWORKED = frozenset({"run", "take-part", "decide", "leave", "steer", "fetch", "receive", "central", "site", "doctor"})
"""Verbs that talk to the store or to a DICOM server; all others work on files alone."""

CODES = {"KONSIL_TRY_LATER": "75"}
"""EX_TEMPFAIL of sysexits.h, so that a task tells what may succeed later from bad input."""


def command(settings: Settings, arguments: list[str], *, name: str) -> list[str]:
    """The command line that runs the verb `arguments`; `name` is the container's, one per task instance."""
    if settings.door == "process":
        return [sys.executable, "-m", "konsil.cli", *arguments]
    home = settings.home.resolve()
    network = [] if arguments[0] in NETWORKED else ["--network", "none"]
    reads = [f"--volume={folder.resolve()}:{folder.resolve()}:ro" for folder in settings.door_reads]
    confined = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    return [
        "docker", "run", "--rm", "--init", "--name", name, "--user", f"{os.getuid()}:{os.getgid()}", *network,
        *confined,
        f"--volume={home}:{home}", *reads, "--workdir", str(home), *variables(settings, home), settings.door_image,
        *arguments,
    ]  # fmt: skip


def variables(settings: Settings, home: Path) -> list[str]:
    """`--env` options: the place's settings by name, so that no value stands in the command line."""
    named = [name for name in sorted(os.environ) if name.startswith("KONSIL_") and name != "KONSIL_HOME"]
    own = CODES | {"KONSIL_HOME": str(home), "OMP_NUM_THREADS": str(settings.threads), "HOME": "/tmp"}  # noqa: S108
    return [word for pair in [*named, *(f"{key}={value}" for key, value in own.items())] for word in ("--env", pair)]


def remove(settings: Settings, name: str) -> None:
    """End the container of a task instance, if there is one: a killed client leaves its container running."""
    if settings.door == "docker":
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)
