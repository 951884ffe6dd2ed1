"""Who lives where in a stack.

A stack is one folder. In it every *place* (the centre and each site) has its own folder, port and path prefix; the S3
server has a port. Ports are chosen once and kept in `stack.json`, because site passes and bookmarks name them: a place
that is stopped and started again is found at the same address.

    <stack>/stack.json          sites and ports
    <stack>/<place>/airflow     AIRFLOW_HOME: airflow.cfg with keys and passwords.json (both mode 600), database, logs
    <stack>/<place>/home        KONSIL_HOME
    <stack>/processes/          one file per running process
    <stack>/logs/               one file per process
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.files import read_json, write_json

CENTRE = "centre"
HOST = "127.0.0.1"
SITE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,30}")


@dataclass(frozen=True)
class Place:
    """One Airflow instance: the centre or a site."""

    name: str
    port: int
    folder: Path

    @property
    def is_centre(self) -> bool:
        """The centre runs other DAGs and has other accounts than a site."""
        return self.name == CENTRE

    @property
    def prefix(self) -> str:
        """Path prefix. Each place needs its own, because browsers send login cookies to every port of a host."""
        return "/centre" if self.is_centre else f"/site-{self.name.lower()}"

    @property
    def url(self) -> str:
        """Address of the Airflow UI and of its REST API."""
        return f"http://{HOST}:{self.port}{self.prefix}"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME of this place."""
        return self.folder / "airflow"

    @property
    def home(self) -> Path:
        """KONSIL_HOME of this place."""
        return self.folder / "home"


@dataclass(frozen=True)
class Plan:
    """A whole stack: its folder, its places (the centre first) and the port of the S3 server."""

    folder: Path
    places: tuple[Place, ...]
    s3_port: int

    @property
    def centre(self) -> Place:
        """The centre."""
        return self.places[0]

    @property
    def sites(self) -> tuple[Place, ...]:
        """The sites, in the order they were named."""
        return self.places[1:]

    @property
    def endpoint(self) -> str:
        """Address of the S3 server, as passes name it."""
        return f"https://{HOST}:{self.s3_port}"

    @property
    def marker(self) -> str:
        """Value of KONSIL_STACK in the environment of every process of this stack, so that none can hide."""
        return str(self.folder)

    def only(self, names: Sequence[str]) -> tuple[Place, ...]:
        """The named places in the plan's order; all of them when none is named."""
        known = [place.name for place in self.places]
        if unknown := sorted(set(names) - set(known)):
            raise BadInput(
                "a named place is not part of this stack", expected=f"among {', '.join(known)}", got=unknown[0]
            )
        return tuple(place for place in self.places if not names or place.name in names)


def read_plan(folder: Path) -> Plan:
    """The plan of an existing stack."""
    folder = folder.resolve()
    if not (folder / "stack.json").exists():
        raise Missing(
            "there is no stack here",
            expected=f"stack.json in {folder}",
            hint="Start one with: konsil stack up --dir DIR",
        )
    content = read_json(folder / "stack.json")
    places = tuple(Place(name, port, folder / name.lower()) for name, port in content["places"])
    return Plan(folder, places, content["s3_port"])


def make_plan(folder: Path, sites: Sequence[str], *, base_port: int = 0) -> Plan:
    """The plan of the stack in `folder`, made at the first call.

    `base_port` 0 takes free ports; otherwise the centre gets it, the sites the next ones, the S3 server the last.
    Raises `BadInput` when the folder holds a stack of other sites.
    """
    check_names(sites)
    folder = folder.resolve()
    if (folder / "stack.json").exists():
        plan = read_plan(folder)
        have = [place.name for place in plan.sites]
        if sorted(have) != sorted(sites):
            raise BadInput(
                "this folder holds a stack of other sites",
                expected=", ".join(have),
                got=", ".join(sites),
                hint="Use another folder, or delete this one after: konsil stack down",
            )
        return plan
    names = [CENTRE, *sites]
    ports = [base_port + i for i in range(len(names) + 1)] if base_port else free_ports(len(names) + 1)
    places = [[name, port] for name, port in zip(names, ports, strict=False)]
    write_json(folder / "stack.json", {"places": places, "s3_port": ports[-1]}, mode=0o600)
    return read_plan(folder)


def check_names(sites: Sequence[str]) -> None:
    """Refuse names that would not make a folder, a path prefix and a bucket, or that collide."""
    for name in sites:
        if not SITE_NAME.fullmatch(name) or name.lower() == CENTRE:
            raise BadInput("a site's name is not usable", expected="letters, digits and hyphens, such as A", got=name)
    if len({name.lower() for name in sites}) != len(sites):
        raise BadInput("two sites have the same name", expected="different names", got=", ".join(sites))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
