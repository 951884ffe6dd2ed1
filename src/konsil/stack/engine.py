"""The container engine as `konsil containers` uses it: by its command line, like the person who calls it.

What belongs to a stack is what the engine has labelled with the name of its compose project, so files that were laid
over docker-compose.yaml (Celery, GPU) need not be named again where something is stopped, copied or taken away.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from konsil.errors import BadInput, Missing, Unavailable
from konsil.stack.wishes import Wish, standing, variable_of

PROJECT, SERVICE, VOLUME = (f"com.docker.compose.{name}" for name in ("project", "service", "volume"))
SECRETS = "/run/secrets/"


@dataclass(frozen=True)
class Container:
    """One container of a stack: its service, the image it was made of (by ID), and how it is."""

    id: str
    service: str
    image: str
    running: bool
    health: str
    secrets: tuple[str, ...]

    @property
    def is_database(self) -> bool:
        """A database is stopped after those who ask it."""
        return self.service.endswith("-db")


@dataclass(frozen=True)
class Stack:
    """A folder of `konsil init`, and the compose project that runs with it."""

    folder: Path
    project: str
    wish: Wish

    @classmethod
    def at(cls, folder: Path) -> Stack:
        """The stack of that folder; Missing if there is none, BadInput if its project runs with another folder."""
        wish = standing(folder)
        if wish is None:
            raise Missing(f"There is no stack in {folder}", hint="Name its folder with --dir; konsil init makes one")
        found = cls(folder.resolve(), project_of(folder), wish)
        strangers = [one for one in found.containers() if any(not found.owns(path) for path in one.secrets)]
        if strangers:
            raise BadInput(
                f"The containers of the project {found.project} run with the secrets of another folder",
                expected=str(found.folder), got=f"{strangers[0].service} of elsewhere",
                hint="Name that folder with --dir, or another COMPOSE_PROJECT_NAME in stack.env",
            )  # fmt: skip
        return found

    def owns(self, path: str) -> bool:
        """Whether a file that is mounted lies in this stack's folder."""
        return Path(path).resolve().is_relative_to(self.folder)

    def containers(self) -> list[Container]:
        """All its containers, running or not; databases last."""
        ids = listed("ps", "--all", "--no-trunc", project=self.project)
        found = [container_of(one) for one in json.loads(docker("inspect", *ids))] if ids else []
        return sorted(found, key=lambda one: (one.is_database, one.service))

    def volumes(self) -> dict[str, str]:
        """Name of each volume in the compose file → name at the engine."""
        names = listed("volume", "ls", project=self.project)
        found = json.loads(docker("volume", "inspect", *names)) if names else []
        return {one["Labels"][VOLUME]: one["Name"] for one in found if VOLUME in (one["Labels"] or {})}

    def networks(self) -> list[str]:
        """IDs of its networks."""
        return listed("network", "ls", project=self.project)


def project_of(folder: Path) -> str:
    """Name of the compose project of a stack's folder."""
    return variable_of(folder, "COMPOSE_PROJECT_NAME") or "konsil"


def container_of(found: Any) -> Container:
    """A container as `docker inspect` tells of it."""
    state, mounts = found["State"], found["Mounts"] or ()
    return Container(
        found["Id"], found["Config"]["Labels"].get(SERVICE, ""), found["Image"], bool(state["Running"]),
        (state.get("Health") or {}).get("Status", ""),
        tuple(one["Source"] for one in mounts if one["Destination"].startswith(SECRETS)),
    )  # fmt: skip


def listed(*words: str, project: str) -> list[str]:
    """What `docker ps`, `volume ls` or `network ls` list of a project."""
    return docker(*words, "--quiet", "--filter", f"label={PROJECT}={project}").split()


def image_id(name: str) -> str:
    """The ID of an image that this engine has; Missing if it has none of that name."""
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", name).strip()
    except Unavailable as error:
        hint = "Build it (scripts/build_images.sh), pull it, or bring it by docker save and docker load"
        raise Missing(f"This engine has no image {name}", hint=hint) from error


def docker(*words: str, stdin: IO[bytes] | None = None, out: IO[bytes] | None = None) -> str:
    """What the engine answers, unless it goes to `out`; Unavailable with its last line if it refused."""
    return ran(["docker", *words], stdin=stdin, out=out)


def compose(stack: Stack, files: Sequence[Path], *words: str, more: Sequence[str] = ()) -> str:
    """What docker-compose answers for a stack with its profiles and `more` of them."""
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    chosen = [word for file in files for word in ("--file", str(file))]
    chosen += [word for profile in (*stack.wish.profiles, *more) for word in ("--profile", profile)]
    given = ["--env-file", str(stack.folder / "stack.env"), "--project-name", stack.project]
    return ran([*program, *given, *chosen, *words])


def ran(command: Sequence[str], *, stdin: IO[bytes] | None = None, out: IO[bytes] | None = None) -> str:
    """The output of a program; Missing if it is not installed, Unavailable with its last line if it failed."""
    try:
        end = subprocess.run(
            command, stdin=stdin or subprocess.DEVNULL, stdout=out or subprocess.PIPE, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Missing(f"{command[0]} is not installed", hint="docs/guides/it.md says what a stack needs") from error
    if end.returncode:
        lines = end.stderr.decode(errors="replace").strip().splitlines()
        said = [line for line in lines if line.strip() and not line.startswith("See '")]  # "See 'docker run --help'."
        raise Unavailable(
            f"The engine did not do it ({command[0]} {command[1]})", got=said[-1] if said else "no word",
            hint="Does it run, and may you call it? docker info",
        )  # fmt: skip
    return (end.stdout or b"").decode(errors="replace")
