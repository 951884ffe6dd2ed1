"""The end of a stack of containers: nothing of it is left at the engine, nor its folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from konsil.errors import Unavailable
from konsil.stack.engine import Stack, docker


def uninstall(stack: Stack) -> dict[str, int]:
    """Take away containers, networks, volumes and the folder, in this order; gives how many there were.

    Images stay: others may use them. Raises Unavailable if something cannot be taken away; the folder is then still
    there, so the same call can be made again.
    """
    containers, networks, volumes = stack.containers(), stack.networks(), list(stack.volumes().values())
    if containers:
        docker("rm", "--force", "--volumes", *(one.id for one in containers))
    if networks:
        docker("network", "rm", *networks)
    remove_volumes(volumes)
    if left := [*(one.service for one in stack.containers()), *stack.networks(), *stack.volumes()]:
        raise Unavailable("Not all of the stack could be taken away", got=", ".join(left))
    shutil.rmtree(stack.folder)
    return {"containers": len(containers), "networks": len(networks), "volumes": len(volumes)}


def remove_volumes(names: Sequence[str]) -> None:
    """Take volumes away with what is in them."""
    if names:
        docker("volume", "rm", *names)
