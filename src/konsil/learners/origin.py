"""Which code a learner is: what an approval is pinned to (docs/formats/approvals.md, *Marks*).

A version number says what somebody once named a release; the hash of the files says what will run. Nothing of the
learner is imported for it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from konsil.files import sha256_of
from konsil.provenance import versions
from konsil.types import Json

HERE = Path(__file__).parent
PACKAGES = {"nnunet": ("nnunetv2",)}
"""What a learner is made of beside `konsil.learners`."""


@cache
def code_of(name: str) -> str:
    """SHA-256 over paths and contents of the Python files of a learner; read once per process."""
    digest = hashlib.sha256()
    for prefix, folder in _folders(name):
        for path in sorted(folder.rglob("*.py")):
            line = f"{prefix}/{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n"
            digest.update(line.encode())
    return digest.hexdigest()


def versions_of(name: str) -> Json:
    """Names for people: the installed versions of konsil and of the learner's packages."""
    wanted = ("konsil", *PACKAGES.get(name, ()))
    return {part: version for part, version in versions().items() if part in wanted}


def lacking(name: str) -> list[str]:
    """The packages of a learner that are not installed here; where there are any, `code_of` is of a part of it."""
    return [package for package in PACKAGES.get(name, ()) if _package(package) is None]


def _folders(name: str) -> list[tuple[str, Path]]:
    """The packages of a learner by name; one that is not installed is left out, and so tells itself apart."""
    found = [("konsil/learners", HERE)]
    for package in PACKAGES.get(name, ()):
        if (folder := _package(package)) is not None:
            found.append((package, folder))
    return found


def _package(name: str) -> Path | None:
    """Where a package lies, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None
