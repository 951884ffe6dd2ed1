"""What a derived file was made from, so that a step can tell what it has done already.

Beside every derived image lies a JSON sidecar (BIDS 1.10, derivatives): `Sources`, `GeneratedBy`, and under `Inputs`
the SHA-256 of each source and the settings. The image is written first and its sidecar last; a file without a
matching sidecar is made again. So a second run is quick, a killed run continues, and a changed input is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from konsil.cohort.bids_sidecar import derived_facts, uri
from konsil.errors import KonsilError
from konsil.files import read_json, sha256_of, write_json
from konsil.provenance import generated_by, versions
from konsil.types import Json


def sidecar(path: Path) -> Path:
    """The JSON file beside an image or transform: all its suffixes replaced by .json."""
    return path.with_name(path.name.split(".")[0] + ".json")


def fingerprint(sources: Mapping[str, Path], settings: Json | None = None) -> Json:
    """What a derived file depends on: SHA-256 per role of its sources, and the settings."""
    return {"sha256": {role: sha256_of(path) for role, path in sources.items()}, "settings": settings or {}}


def is_current(path: Path, inputs: Json) -> bool:
    """Whether `path` is there and was made from exactly these inputs."""
    if not path.is_file():
        return False
    try:
        return bool(read_json(sidecar(path)).get("Inputs") == inputs)
    except KonsilError:
        return False


def stamp(path: Path, step: str, sources: Mapping[str, Path], inputs: Json, facts: Json | None = None) -> None:
    """Write the sidecar of `path`: after this the file counts as done."""
    content = {
        "GeneratedBy": [generated_by(step)],
        "Sources": [uri(source) for source in sources.values()],
        "Inputs": inputs,
        "Software": versions(),
        **derived_facts(path),
        **(facts or {}),
    }
    write_json(sidecar(path), content)
