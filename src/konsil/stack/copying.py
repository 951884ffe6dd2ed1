"""How the parts of a stack get into files and back: volumes, and the folder of `konsil init`.

A volume is read and filled by a container that can do nothing else: no network, nothing of it in the engine's logs, a
read-only root, and of root's rights only those of reading (or writing) files of others, because a database's folder is
closed to everybody but the database.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from konsil.errors import BadInput
from konsil.files import replacing, write_bytes
from konsil.stack.engine import docker

CONFINED = (
    "run", "--rm", "--interactive", "--network", "none", "--read-only", "--log-driver", "none", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges",
)  # fmt: skip
READER = ("--user", "0:0", "--cap-add", "DAC_READ_SEARCH")
WRITER = ("--user", "0:0", "--cap-add", "DAC_OVERRIDE", "--cap-add", "CHOWN", "--cap-add", "FOWNER")


def copy_out(volume: str, image: str, to: Path) -> None:
    """A volume as a tar file, with owners and modes as they are; `image` is one of ours, which has tar."""
    tar = ["--create", "--numeric-owner", "--directory", "/volume", "."]
    with replacing(to, mode=0o600) as part, part.open("wb") as out:
        docker(*CONFINED, *READER, "--volume", f"{volume}:/volume:ro", "--entrypoint", "tar", image, *tar, out=out)


def copy_in(source: Path, volume: str, image: str) -> None:
    """Fill an empty volume from such a file."""
    tar = ["--extract", "--numeric-owner", "--same-permissions", "--directory", "/volume"]
    with source.open("rb") as content:
        docker(
            *CONFINED, *WRITER, "--volume", f"{volume}:/volume", "--entrypoint", "tar", image, *tar, stdin=content
        )  # fmt: skip


def pack_folder(folder: Path, to: Path) -> None:
    """The files of a folder as a tar file, with their modes."""
    with replacing(to, mode=0o600) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path.resolve(), path.relative_to(folder).as_posix(), recursive=False)


def unpack_folder(source: Path, folder: Path) -> None:
    """Those files below a new folder of mode 700; BadInput for anything that is not such a file."""
    folder.mkdir(mode=0o700)
    with tarfile.open(source, "r:") as tar:
        for member in tar:
            path, content = PurePosixPath(member.name), tar.extractfile(member) if member.isreg() else None
            if content is None or path.is_absolute() or ".." in path.parts:
                raise damaged("it holds something that no backup of ours does")
            write_bytes(folder / member.name, content.read(), mode=member.mode & 0o777)


def set_variables(env: Path, changed: Mapping[str, str]) -> None:
    """Give variables of `stack.env` new values; all other lines stay."""
    lines = env.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() not in changed]
    write_bytes(env, "".join(f"{line}\n" for line in [*kept, *map("=".join, changed.items())]).encode())


def damaged(why: str) -> BadInput:
    """The one refusal of a backup that is not whole."""
    return BadInput("The backup cannot be restored", got=why, hint="Nothing was written. Take an older backup")
