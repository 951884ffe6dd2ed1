"""The S3 server of a stack and the trust between its places, made by the same verbs that people use.

The centre makes its keys, invites each site, each site joins with its pass, and the centre accepts it. On one machine
nobody compares fingerprints by phone; between hospitals somebody does. Every verb may be run again, so that a second
`up` is quick and an interrupted one continues.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from konsil.errors import Unavailable
from konsil.stack.configuration import environment
from konsil.stack.health import Say, tail
from konsil.stack.places import HOST, Place, Plan
from konsil.stack.processes import find, start

NAME = "bucket"
START_S = 60.0


def start_bucket(plan: Plan, *, say: Say) -> None:
    """Make the centre, start its S3 server unless it runs, and return when it answers."""
    verb(plan, plan.centre, "central", "init", "--endpoint", plan.endpoint)
    process = find(NAME, plan.folder)
    if process is not None and process.alive:
        return
    command = [sys.executable, "-m", "konsil.cli", "central", "store"]
    env = environment(plan.centre, plan.marker) | {"PYTHONUNBUFFERED": "1"}
    process = start(NAME, command, folder=plan.folder, env=env, cwd=plan.centre.home)
    deadline = time.monotonic() + START_S
    while not listens(plan.s3_port):
        if not process.alive or time.monotonic() > deadline:
            raise Unavailable("the S3 server did not start", got=tail(plan.folder / "logs" / f"{NAME}.log"))
        time.sleep(0.1)
    say(f"S3 server: ready at {plan.endpoint}")


def make_trust(plan: Plan, *, say: Say) -> None:
    """Invite and join every site that has not joined yet, and accept those that did."""
    new = [place for place in plan.sites if not (place.home / "pass.json").exists()]
    if not new:
        return
    passes = plan.folder / "passes"
    passes.mkdir(mode=0o700, exist_ok=True)
    for place in new:
        file = passes / f"{place.name}.pass.json"
        file.unlink(missing_ok=True)
        verb(plan, plan.centre, "central", "invite", place.name, "--out", str(file))
        verb(plan, place, "site", "join", str(file))
        file.unlink(missing_ok=True)
        say(f"{place.name}: joined with its pass")
    verb(plan, plan.centre, "central", "sites")


def verb(plan: Plan, place: Place, *arguments: str) -> None:
    """Run one konsil verb as the people of `place` would."""
    place.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "konsil.cli", *arguments]
    env = environment(place, plan.marker)
    end = subprocess.run(command, env=env, capture_output=True, text=True, check=False, umask=0o077)
    if end.returncode:
        last = (end.stderr.strip().splitlines() or ["no word"])[-1].removeprefix("konsil: ")
        raise Unavailable(f"konsil {' '.join(arguments[:2])} failed for {place.name}", got=last)


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == os.EX_OK
