"""A home in one file, and back. Specification: docs/formats/backup.md.

Files of a home are whole or absent, so a backup may be made while work goes on; each is as it was when it was read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO

from konsil.errors import BadInput, Missing
from konsil.files import PART, as_bytes, begin, working_folder
from konsil.trust.audit import Audit, operator
from konsil.trust.membership import is_centre
from konsil.types import Json

FORMAT, LIST = "konsil.backup/1", "konsil-backup.json"
LEFT_OUT = ("inbox/*", "nnUNet_preprocessed/*", "compiled/*", "work/.tasks/*", "work/*/dicom/*", "receive.json")
BLOCK = 1 << 20


class Hashing(io.RawIOBase):
    """A readable stream that counts what passes through it into `digest`."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source, self.digest = source, hashlib.sha256()

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        block = self._source.read(size)
        self.digest.update(block)
        return block


def backup(home: Path, out: Path) -> Json:
    """Write the home into the new file `out`; gives counts. BadInput if `out` is there or lies in the home."""
    is_centre(home)  # somebody has to live there
    if out.exists() or out.resolve().is_relative_to(home.resolve()):
        raise BadInput("The backup cannot be written there", expected="a new file outside the home", got=str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    part, handle = begin(out)
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            hashes = {name: digest for name in kept(home) if (digest := _add(tar, home, name))}
            konsil = metadata.version("konsil")
            listed = {"format": FORMAT, "at": _now(), "konsil": konsil, "files": hashes}
            content = as_bytes(listed)
            info = tarfile.TarInfo(LIST)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        part.chmod(0o600)
        size = part.stat().st_size
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)
    return {"files": len(hashes), "bytes": size}


def kept(home: Path) -> Iterator[str]:
    """The files of a home that a backup holds, by relative path, sorted."""
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        parts = PurePosixPath(name).parts
        if any(part.startswith(PART) for part in parts) or any(fnmatch(name, wild) for wild in LEFT_OUT):
            continue
        if path.is_file():
            yield name


def _add(tar: tarfile.TarFile, home: Path, name: str) -> str:
    """Put one file into the tar; its hash, or nothing if it has just gone."""
    try:
        with (home / name).open("rb") as stream:
            found = os.fstat(stream.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = found.st_size, found.st_mode & 0o777, found.st_mtime
            hashing = Hashing(stream)
            tar.addfile(info, hashing)
            return hashing.digest.hexdigest()
    except FileNotFoundError:
        return ""


def restore(source: Path, home: Path) -> Json:
    """Make the home anew out of a backup; gives counts. BadInput for a home that is not empty or a damaged backup."""
    if not source.is_file():
        raise Missing(f"There is no backup {source.name}", hint="It is made by: konsil backup FILE")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BadInput("The home is not empty", expected="a folder that is not there yet (KONSIL_HOME)", got=str(home))
    home.parent.mkdir(parents=True, exist_ok=True)
    with working_folder(home.parent) as (folder, _):
        made = folder / "home"
        made.mkdir(mode=0o700)
        listed = _unpacked(source, made)
        Audit(made / "audit.jsonl").append("restored", by=operator(), backup=listed["at"])
        if home.exists():
            home.rmdir()
        shutil.move(made, home)
    return {"files": len(listed["files"]), "at": listed["at"]}


def _unpacked(source: Path, folder: Path) -> Json:
    """Every member written below `folder` and checked against the list at the end."""
    hashes: dict[str, str] = {}
    listed: Json | None = None
    try:
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                if listed is not None:
                    raise damaged("something stands behind its end")
                stream = _content(tar, member, hashes)
                if member.name == LIST:
                    listed = _list(stream.read())
                else:
                    hashes[member.name] = _written(stream, folder / member.name, member.mode)
    except (tarfile.TarError, EOFError) as error:
        raise damaged("it is no tar file, or was cut off") from error
    if listed is None:
        raise damaged("its end is missing")
    if hashes != listed["files"]:
        wrong = sorted(set(hashes.items()) ^ set(listed["files"].items()))
        raise damaged(f"{len({name for name, _ in wrong})} of its files are not what was written")
    return listed


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, seen: dict[str, str]) -> IO[bytes]:
    """A member's bytes, if it is a file inside the home and comes once."""
    path = PurePosixPath(member.name)
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None or path.is_absolute() or ".." in path.parts or "\\" in member.name or member.name in seen:
        raise damaged("it holds something that no backup of ours does")
    return stream


def _list(content: bytes) -> Json:
    """The list at the end of a backup."""
    try:
        found = json.loads(content)
        fits = found["format"] == FORMAT and isinstance(found["files"], dict) and isinstance(found["at"], str)
    except (ValueError, TypeError, KeyError) as error:
        raise damaged("its list of files cannot be read") from error
    if not fits:
        raise damaged(f"expected {FORMAT}")
    return dict(found)


def _written(stream: IO[bytes], path: Path, mode: int) -> str:
    """Write a stream to a new file; its hash."""
    digest = hashlib.sha256()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as out:
        while block := stream.read(BLOCK):
            digest.update(block)
            out.write(block)
    path.chmod(mode & 0o777)
    return digest.hexdigest()


def damaged(why: str) -> BadInput:
    """The one refusal of a backup that is not whole."""
    return BadInput("The backup cannot be restored", got=why, hint="Nothing was written. Take an older backup")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
