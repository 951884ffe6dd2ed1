"""Another version of the images under the same volumes.

docker-compose makes those containers anew whose image or setting has changed; the scheduler of each place then brings
its database up to date before it works, and the others wait for that (konsil.stack.container).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from konsil.errors import BadInput, Unavailable
from konsil.stack.copying import set_variables
from konsil.stack.engine import Container, Stack, compose, image_id
from konsil.stack.keeping import Say
from konsil.stack.wishes import PINNED, WORKER, variable_of

HEALTHY_S = 1800.0
LOOK_S = 3.0


def upgrade(stack: Stack, files: Sequence[Path], *, worker: str = "", say: Say) -> list[str]:
    """Let the stack run the images that its files name now, and wait until all is healthy; gives what was made anew.

    `worker`: the new image that does the work, by digest or by a name that this engine knows; needed where `stack.env`
    names one. Raises BadInput, before anything is changed, if it is missing there or a running service is in no file.
    """
    pinned = variable_of(stack.folder, WORKER)
    if pinned and not worker:
        raise BadInput(
            "stack.env names the image that does the work by digest, and so it would stay the old one",
            expected="--worker with the new image, or with the same one", hint="--worker konsil/worker",
        )  # fmt: skip
    before = stack.containers()
    beside = ["pacs"] if any(one.service == "orthanc" for one in before) else []
    refuse_unnamed(before, compose(stack, files, "config", "--services", more=beside).split())
    if worker:
        digest = worker if PINNED.fullmatch(worker) else image_id(worker)
        image_id(digest)
        set_variables(stack.folder / "stack.env", {WORKER: digest})
    say("starting what has changed; the schedulers bring their databases up to date")
    compose(stack, files, "up", "--detach", more=beside)
    wait_until_healthy(stack)
    old = {one.id for one in before}
    return [one.service for one in stack.containers() if one.id not in old]


def refuse_unnamed(there: Sequence[Container], named: Sequence[str]) -> None:
    """A stack that was started with more files is not to lose their services, nor a scheduler its executor."""
    if missing := sorted({one.service for one in there} - set(named)):
        raise BadInput(
            "The stack has services that these files do not name", got=", ".join(missing),
            hint="Name all files that it was started with: --file docker-compose.yaml --file …",
        )  # fmt: skip


def wait_until_healthy(stack: Stack, timeout_s: float = HEALTHY_S) -> None:
    """Return when every container that has a health check passes it; Unavailable names those that do not in time."""
    deadline = time.monotonic() + timeout_s
    while sick := [one.service for one in stack.containers() if not one.running or one.health not in ("", "healthy")]:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Not healthy after {timeout_s / 60:.0f} minutes: {', '.join(sick)}",
                hint=f"docker-compose … logs {sick[0]} tells why. The way back is the backup with the images before",
            )  # fmt: skip
        time.sleep(LOOK_S)
