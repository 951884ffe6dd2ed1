"""Where the images of a case came from: what the scanner says of itself, and what was said on the way.

Warnings of the sorting lie in scan.json, those of dcm2niix in the sidecars of the raw images. None of them holds an
identifier; paths and hashes of the inbox stay where they are.
"""

from __future__ import annotations

from pathlib import Path

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import SUFFIXES, CohortFolder
from konsil.errors import KonsilError
from konsil.files import read_json
from konsil.types import Json

PHYSICS = (("RepetitionTime", "TR"), ("EchoTime", "TE"), ("InversionTime", "TI"))


def origin_of(cohort: CohortFolder, case: Case) -> Json:
    """`warnings` (list of sentences), `sources` (SHA-256 of each converted series), `scanner` (one line per image)."""
    warnings = [f"Sorting: {text}" for text in scan_warnings(cohort, case)]
    sources: Json = {}
    scanners: Json = {}
    for suffix in SUFFIXES:
        notes = read_quietly(sidecar(cohort.raw(case, suffix)))
        own = notes.get("Konsil", {})
        warnings += [f"Converting {suffix}: {text}" for text in own.get("Warnings", [])]
        if own.get("SourceSha256"):
            sources[suffix] = own["SourceSha256"]
        if line := scanner_text(notes):
            scanners[suffix] = line
    return {"warnings": warnings, "sources": sources, "scanner": scanners}


def scan_warnings(cohort: CohortFolder, case: Case) -> list[str]:
    """What the sorting warned about when it chose the series of this case."""
    entry = read_quietly(cohort.work / "scan.json").get("cases", {}).get(str(case), {})
    return [str(text) for text in entry.get("warnings", [])]


def scanner_text(notes: Json) -> str:
    """`Siemens Skyra, 3 T; 3D; TR 1900, TE 2.46, TI 900 ms` from a BIDS sidecar, as far as it says so."""
    machine = " ".join(str(notes[key]) for key in ("Manufacturer", "ManufacturersModelName") if notes.get(key))
    if notes.get("MagneticFieldStrength"):
        machine = f"{machine}, {notes['MagneticFieldStrength']:g} T".lstrip(", ")
    times = [f"{name} {notes[key] * 1000:g}" for key, name in PHYSICS if notes.get(key)]
    parts = [machine, str(notes.get("MRAcquisitionType", "")), f"{', '.join(times)} ms" if times else ""]
    return "; ".join(part for part in parts if part)


def read_quietly(path: Path) -> Json:
    """A JSON file, or nothing if it is not there or broken: a page about the images can do without it."""
    try:
        return read_json(path)
    except KonsilError:
        return {}
