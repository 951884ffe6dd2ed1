"""Whether preprocessed files are still those that were made.

For every file size, time of the last change (ns) and SHA-256 are noted when all are there. Before a round only size and
time are looked at, which takes microseconds a file; a file whose time is another one is read, and counts as changed if
its bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from konsil.files import PART, sha256_of
from konsil.types import Json


def looks(folder: Path) -> Json:
    """Size, time and hash of every file below `folder` but its marker, by relative name."""
    inside = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: [path.stat().st_size, path.stat().st_mtime_ns, sha256_of(path)]
        for name, path in inside.items()
        if name != "konsil.json" and not name.startswith(PART)
    }


def changed(folder: Path, noted: Mapping[str, Any]) -> list[str]:
    """Names of noted files that are not there or hold something else."""
    return [name for name, look in noted.items() if not is_as_noted(folder / name, *look)]


def is_as_noted(path: Path, size: int, time_ns: int, sha256: str) -> bool:
    """Whether one file holds what was noted."""
    if not path.is_file() or path.stat().st_size != size:
        return False
    return path.stat().st_mtime_ns == time_ns or sha256_of(path) == sha256
