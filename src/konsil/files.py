"""Files that are whole or absent.

Everything that another process may read is written beside its final name and moved there in one step, so that a killed
process never leaves half a file. Hashes are SHA-256 in lower-case hexadecimal.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from konsil.errors import BadInput, Missing
from konsil.types import Json


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success it takes the place of `path`, on failure it vanishes.

    The temporary name keeps all suffixes of `path`, because image writers choose the format by them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix="".join(path.suffixes))
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path, mode=mode) as part:
        part.write_bytes(content)


def write_json(path: Path, content: Json, *, mode: int = 0o644) -> None:
    """Write `content` as indented UTF-8 JSON with sorted keys, whole or not at all. NaN and infinity are refused."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), mode=mode)


def read_json(path: Path) -> Json:
    """Read a JSON object; a missing or broken file is refused in a sentence."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Missing(f"{path.name} is not there", expected=f"a JSON file at {path}") from error
    except ValueError as error:
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
