"""A stack of containers made anew out of a backup (docs/formats/backup.md), on this host or another one.

Nothing is written over, nothing is started, and where something fails nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.files import read_json, sha256_of, working_folder
from konsil.stack.copying import CONFINED, copy_in, damaged, set_variables, unpack_folder
from konsil.stack.engine import PROJECT, VOLUME, Stack, docker, image_id, listed, project_of
from konsil.stack.keeping import FOLDER, FORMAT, LIST, Say
from konsil.stack.removal import remove_volumes
from konsil.stack.wishes import WORKER, standing, variable_of

WORKER_IMAGE = "konsil/worker"
TAKE_IN = "umask 077; cat > /data/taken.tar; konsil restore /data/taken.tar; end=$?; rm /data/taken.tar; exit $end"


def restore_stack(source: Path, folder: Path, *, project: str = "", say: Say) -> Stack:
    """Make the folder and all volumes of a backup anew, under another project's name if one is given.

    Raises BadInput for a folder or volumes that are there, and for a damaged backup.
    """
    names = checked(source)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("The folder is not empty", expected="a folder that is not there yet (--dir)", got=str(folder))
    with working_folder(folder.resolve().parent) as (below, _):
        made = below / "stack"
        unpack_folder(source / FOLDER, made)
        settle(made, folder.resolve(), project)
        image = image_of(made)
        if there := listed("volume", "ls", project=project_of(made)):
            raise occupied(f"the project {project_of(made)}", len(there))
        with made_volumes(project_of(made), names) as volumes:
            for name, volume in volumes.items():
                say(f"filling the volume {name}")
                copy_in(source / f"{name}.tar", volume, image)
            if folder.exists():
                folder.rmdir()
            made.rename(folder)
    return Stack.at(folder)


def restore_home(stack: Stack, slot: str, source: Path) -> None:
    """Make the home of a place, which has no volume yet, out of a file of `konsil backup`.

    Raises BadInput for a place that is none or has a volume, and what `konsil restore` refuses as Unavailable.
    """
    if slot not in stack.wish.places:
        raise BadInput("This stack has no such place", expected=", ".join(stack.wish.places), got=slot)
    if not source.is_file():
        raise Missing(f"There is no backup {source.name}", hint="Made by: konsil containers backup FILE --home SLOT")
    name = f"{slot}-data"
    if name in stack.volumes():
        raise occupied(f"the place {slot} of the project {stack.project}", 1)
    image = image_of(stack.folder)
    with made_volumes(stack.project, [name]) as volumes, source.open("rb") as content:
        mounts = ["--volume", f"{volumes[name]}:/data", "--tmpfs", "/tmp"]  # noqa: S108 - the container's own
        docker(*CONFINED, *mounts, "--entrypoint", "sh", image, "-c", TAKE_IN, stdin=content)


def checked(source: Path) -> list[str]:
    """The volumes that a backup holds, after every file of it was compared with its hash."""
    if not (source / LIST).is_file():
        raise BadInput("This is no backup of a stack", expected=f"a folder with {LIST}, which is written last",
                       got=str(source), hint="A file of konsil backup is restored with --home SLOT")  # fmt: skip
    told = read_json(source / LIST)
    files = told.get("files")
    if told.get("format") != FORMAT or not isinstance(files, dict):
        raise damaged(f"its list is not {FORMAT}")
    if FOLDER not in files or any("/" in name or not name.endswith(".tar") for name in files):
        raise damaged("its list names other files than a backup has")
    for name, digest in sorted(files.items()):
        if not (source / name).is_file() or sha256_of(source / name) != digest:
            raise damaged(f"{name} is not what was written")
    return [name.removesuffix(".tar") for name in sorted(files) if name != FOLDER]


def settle(made: Path, folder: Path, project: str) -> None:
    """Let `stack.env` name the folder where the stack will lie, and the project if another one is wished."""
    if not (made / "stack.env").is_file() or standing(made) is None:
        raise damaged("it holds no stack")
    named = {"COMPOSE_PROJECT_NAME": project} if project else {}
    set_variables(made / "stack.env", {"KONSIL_STACK": str(folder), **named})


def image_of(folder: Path) -> str:
    """ID of the image that does a stack's work; Missing if this engine lacks it."""
    return image_id(variable_of(folder, WORKER) or WORKER_IMAGE)


@contextmanager
def made_volumes(project: str, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """New volumes as docker-compose would make them, by their names in its file; taken away if the body fails."""
    made: dict[str, str] = {}
    try:
        for name in names:
            labels = ["--label", f"{PROJECT}={project}", "--label", f"{VOLUME}={name}"]
            made[name] = docker("volume", "create", *labels, f"{project}_{name}").strip()
        yield made
    except BaseException:
        remove_volumes(list(made.values()))
        raise


def occupied(where: str, number: int) -> BadInput:
    """The refusal to fill volumes that hold something."""
    return BadInput(
        f"The engine holds volumes of {where}, and nothing is written over", expected="none", got=str(number),
        hint="konsil containers uninstall takes them away; --project gives the new stack another name",
    )  # fmt: skip
