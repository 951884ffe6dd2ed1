"""Files that are whole or absent.

Everything that another process may read is written beside its final name (`.part-…`) and moved there in one step, so
that a killed process never leaves half a file. Whoever writes holds a lock on the part, which ends with the process:
the next writer in that folder knows by it which parts nobody will finish, and removes them. Hashes are SHA-256 in
lower-case hexadecimal.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.types import Json

PART = ".part-"


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it takes the place of `path`, on failure it vanishes.

    The temporary name keeps all suffixes of `path`, because image writers choose the format by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, folders=False)
    part, handle = begin(path)
    try:
        yield part
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def begin(path: Path) -> tuple[Path, int]:
    """A new part beside `path`, and the handle by which it is locked."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix="".join(path.suffixes))
        claim(handle)
        if os.fstat(handle).st_nlink:
            return Path(name), handle
        os.close(handle)  # another writer swept it before it was locked


def claim(handle: int) -> None:
    """Lock a part; where the file system knows no locks, nothing is swept either."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)


@contextmanager
def working_folder(parent: Path) -> Iterator[tuple[Path, int]]:
    """Give an empty folder below `parent` that vanishes at the end, and the handle that keeps it from being swept.

    A child process that inherits the handle keeps the folder while it lives, also where its parent was killed.
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent, folders=True)
    folder, handle = begin_folder(parent)
    try:
        yield folder, handle
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def begin_folder(parent: Path) -> tuple[Path, int]:
    """A new folder below `parent`, and the handle by which it is locked."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=PART))
        with suppress(FileNotFoundError):  # another process swept it before it was locked
            handle = os.open(folder, os.O_RDONLY)
            claim(handle)
            if folder.is_dir():
                return folder, handle
            os.close(handle)


def sweep(folder: Path, *, folders: bool) -> None:
    """Remove the parts in `folder`, files or folders, whose writers no longer live."""
    for part in folder.glob(f"{PART}*"):
        if part.is_dir() != folders:
            continue
        try:
            handle = os.open(part, os.O_RDONLY)
        except OSError:
            continue  # its writer has just finished
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folders:
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
        except OSError:
            continue  # its writer lives
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path, mode=mode) as part:
        part.write_bytes(content)


def write_once(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `path` unless it is there: of several writers the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, folders=False)
    part, handle = begin(path)
    try:
        part.write_bytes(content)
        part.chmod(mode)
        with suppress(FileExistsError):
            os.link(part, path)  # a link fails where a rename would overwrite
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def as_bytes(content: Json) -> bytes:
    """`content` as indented UTF-8 JSON with sorted keys and a final newline. NaN and infinity are refused."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def write_json(path: Path, content: Json, *, mode: int = 0o644) -> None:
    """Write `content` as JSON (`as_bytes`), whole or not at all."""
    write_bytes(path, as_bytes(content), mode=mode)


def read_json(path: Path) -> Json:
    """Read a JSON object; a missing or broken file is refused in a sentence."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Missing(f"{path.name} is not there", expected=f"a JSON file at {path}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path.name} cannot be read", expected="JSON in UTF-8", got=type(error).__name__) from error
    if not isinstance(content, dict):
        raise BadInput(f"{path.name} is not usable", expected="a JSON object", got=type(content).__name__)
    return content


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 lower-case hexadecimal digits; constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk or a reached quota is behind an error, also where a library raised its own from it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


def file_mark(path: Path) -> tuple[int, int]:
    """What tells a changed file from an unchanged one: its number and its time in ns; zeros where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)
