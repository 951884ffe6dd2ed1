"""Paths of an inbox, where they lie outside of it.

Hospitals put names and numbers of patients into names of folders, so a path of an inbox is an identifier. Later steps
need the paths that `scan` chose, and so scan.json holds them encrypted: deterministic AES-SIV (RFC 5297) under a key
derived from the site's secret, in URL-safe base64. The same path always gives the same text, so scanning an unchanged
inbox again gives the same file, byte for byte. Nobody reads a path from it who does not hold `<home>/keys`.
"""

from __future__ import annotations

from collections.abc import Callable

from konsil.dicom.pseudonyms import Pseudonyms
from konsil.types import Json


def sealed(found: Json, pseudonyms: Pseudonyms) -> Json:
    """What scan found, as it may be written: every path encrypted."""
    return with_paths(found, pseudonyms.seal)


def opened(found: Json, pseudonyms: Pseudonyms) -> Json:
    """What scan found, as it was read, with its paths in clear; raises `BadInput` if the site's secret is another."""
    return with_paths(found, pseudonyms.unseal)


def with_paths(found: Json, change: Callable[[str], str]) -> Json:
    """A copy of scan's findings in which `change` was done to the inbox and to every path below it."""
    cases = {
        name: {**case, "series": {role: with_files(one, change) for role, one in case["series"].items()}}
        for name, case in found["cases"].items()
    }
    unreadable = {sentence: [change(path) for path in paths] for sentence, paths in found["unreadable"].items()}
    return {**found, "inbox": change(found["inbox"]), "cases": cases, "unreadable": unreadable}


def with_files(series: Json, change: Callable[[str], str]) -> Json:
    """A copy of a series of scan.json in which `change` was done to its paths."""
    return {**series, "files": [change(path) for path in series["files"]]}
