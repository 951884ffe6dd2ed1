"""Backups of a stack of containers. Specification: docs/formats/backup.md.

The whole stack is copied while it rests: its volumes belong together, and a database is a volume as well. A home alone
(`konsil backup`) is copied while its place works.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.files import replacing, sha256_of, working_folder, write_json
from konsil.stack.copying import copy_out, pack_folder
from konsil.stack.engine import Container, Stack, docker
from konsil.types import Json

FORMAT, LIST, FOLDER = "konsil.stack-backup/1", "konsil-stack-backup.json", "konsil-stack.tar"
STOP_S = 60
Say = Callable[[str], None]


def backup_stack(stack: Stack, out: Path, *, leave_stopped: bool = False, say: Say) -> Json:
    """Stop what runs, copy folder and volumes into the new folder `out`, start again; gives the list of `out`.

    `leave_stopped`: once all is copied, it stays down, because it goes on elsewhere. Raises BadInput if `out` is there,
    Missing if the stack was never started.
    """
    refuse_old(out)
    containers, volumes = stack.containers(), stack.volumes()
    if not containers or not volumes:
        raise Missing("This stack has nothing to copy", hint="It was not started yet; docker-compose … up --detach")
    with working_folder(out.resolve().parent) as (folder, _):
        made = folder / "backup"
        made.mkdir(mode=0o700)
        pack_folder(stack.folder, made / FOLDER)
        with at_rest(containers, leave_stopped=leave_stopped, say=say):
            for name, volume in sorted(volumes.items()):
                say(f"copying the volume {name}")
                copy_out(volume, containers[0].image, made / f"{name}.tar")
        told = contents(made, containers)
        write_json(made / LIST, told, mode=0o600)
        made.rename(out)
    return told


def contents(made: Path, containers: list[Container]) -> Json:
    """The list of a backup, which is written last: a folder without it was not finished."""
    return {
        "format": FORMAT,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "konsil": metadata.version("konsil"),
        "images": {one.service: one.image for one in containers},
        "files": {path.name: sha256_of(path) for path in sorted(made.iterdir())},
    }


def backup_home(stack: Stack, slot: str, out: Path) -> int:
    """Copy the home of a place, while it works, to the new file `out` (`konsil.backup/1`); gives its size in bytes."""
    refuse_old(out)
    worker = scheduler_of(stack, slot)
    inside = f"/data/backup-{secrets.token_hex(8)}.tar"
    with replacing(out, mode=0o600) as part, part.open("wb") as content:
        try:
            docker("exec", worker.id, "konsil", "backup", inside)
            docker("exec", worker.id, "cat", inside, out=content)
        finally:
            docker("exec", worker.id, "rm", "--force", inside)
    return out.stat().st_size


def refuse_old(out: Path) -> None:
    """Nothing is written over."""
    if out.exists():
        raise BadInput("The backup cannot be written there", expected="a name that is not there yet", got=str(out))


def scheduler_of(stack: Stack, slot: str) -> Container:
    """The running container in which a place's work is done."""
    for one in stack.containers():
        if one.service == f"{slot}-scheduler" and one.running:
            return one
    places = ", ".join(stack.wish.places)
    raise Missing(f"{slot}-scheduler does not run", expected=f"a place that works, of {places}",
                  hint="Start it: docker-compose … up --detach")  # fmt: skip


@contextmanager
def at_rest(containers: list[Container], *, leave_stopped: bool = False, say: Say) -> Iterator[None]:
    """Stop what runs, those who ask a database before it; in the end, also after a failure, start the same again."""
    ran, is_done = [one for one in containers if one.running], False
    try:
        if ran:
            say(f"stopping {len(ran)} containers; federations wait meanwhile")
        for is_database in (False, True):
            if some := [one.id for one in ran if one.is_database == is_database]:
                docker("stop", "-t", str(STOP_S), *some)
        yield
        is_done = True
    finally:
        if ran and not (leave_stopped and is_done):
            say("starting them again")
            docker("start", *(one.id for one in reversed(ran)))
