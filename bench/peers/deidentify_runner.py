"""Runs one other de-identification tool over a folder, in that tool's own environment (see deidentify.py).

Each tool is used as its manual says, with its own ready-made profile: dicognito's Anonymizer with a seed,
dicom-anonymizer's standard rules (it follows the newest Table E.1-1 that it ships), deid's default recipe with private
tags removed. A file that raises is counted by the type of the error, and the next one follows.

    python deidentify_runner.py dicognito IN OUT OUT.json
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

Tool = Callable[[Path, Path], None]


def dicognito() -> Tool:
    """One anonymizer for all files, so that UIDs and dates of a patient stay together."""
    import pydicom
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="konsil")

    def copy(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return copy


def dicom_anonymizer() -> Tool:
    """The rules of the standard; private tags are deleted."""
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file

    return lambda source, target: anonymize_dicom_file(str(source), str(target))


def deid() -> Tool:
    """The recipe that comes with it; private tags are removed."""
    from deid.dicom import replace_identifiers

    def copy(source: Path, target: Path) -> None:
        (dataset,) = replace_identifiers([str(source)], save=False, remove_private=True, strip_sequences=False)
        dataset.save_as(target)

    return copy


TOOLS: dict[str, Callable[[], Tool]] = {"dicognito": dicognito, "dicom-anonymizer": dicom_anonymizer, "deid": deid}


def main(tool: str, source: Path, target: Path, result: Path) -> None:
    """Copy every file; write how many went through and what the others raised."""
    warnings.simplefilter("ignore")
    copy, done, crashed = TOOLS[tool](), 0, {}
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        out = target / path.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            copy(path, out)
            done += 1
        except Exception as error:  # noqa: BLE001  # whatever a tool raises is what is being measured
            crashed[str(path.relative_to(source))] = type(error).__name__
    result.write_text(json.dumps({"done": done, "crashed": crashed}))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
