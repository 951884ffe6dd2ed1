"""Konsil's de-identification beside dicognito, dicom-anonymizer and deid, on the same files.

Each tool copies phantoms in which every kind of place holds a word (`identifiers`), files with values that cannot be,
and, with `--data`, a real study. Counted is what a hospital needs: which words survive, which files a tool cannot
write, whether a UID and its references stay together, whether ten days between visits stay ten days while the days
themselves go, and whether dcm2niix makes the same voxels of the copies as of the originals.

The other tools run in an environment of their own, which the script makes with pip; nothing of them is installed here.

    python bench/peers/deidentify.py --data ../shared/data --json build/bench/deidentify.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import pydicom
from identifiers import BROKEN, INTERVAL_DAYS, WORDS, make, surviving

ROOT = Path(__file__).parents[2]
PEERS = {"dicognito": "dicognito==0.19.0", "dicom-anonymizer": "dicom-anonymizer==2.1.0", "deid": "deid==0.4.13"}
STUDY = Path("dicom/tcia_btp/Study3")
NAMING = (
    "PatientName PatientID AccessionNumber StudyDate StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID StudyTime"
)
SERIES = ("T1w", "FLAIR")
SHORTEST = 8  # characters; a shorter number of the study may be in random UIDs by chance
Row = dict[str, Any]


def environment(folder: Path) -> Path:
    """The interpreter of the peers' environment, made at the first call."""
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS.values()], check=True)
        (folder / "ready").touch()
    return python


def run_peer(python: Path, tool: str, source: Path, target: Path) -> Row:
    """One peer over a folder; what it wrote and what it raised."""
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "result.json"
        runner = Path(__file__).with_name("deidentify_runner.py")
        command = [python, runner, tool, source, target, result]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(result.read_text())


def run_konsil(source: Path, target: Path) -> Row:
    """Konsil's own copies of every file of a folder, as the step makes them."""
    from konsil.cohort.cases import Case
    from konsil.dicom.deidentify import copy_file
    from konsil.dicom.pseudonyms import Pseudonyms
    from konsil.dicom.rebuild import Copier
    from konsil.errors import KonsilError

    copier = Copier("series", Case("abcdefghij", "20000101"), Pseudonyms(bytes(32)))
    done, crashed = 0, {}
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = str(path.relative_to(source))
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            copy_file(source, name, target / name, copier)
            done += 1
        except KonsilError as error:
            crashed[name] = error.sentence
    return {"done": done, "crashed": crashed}


def figures(tool: str, work: Path, python: Path, study: Path | None) -> Row:
    """Everything about one tool."""

    def run(source: Path, target: Path) -> Row:
        shutil.rmtree(target, ignore_errors=True)
        return run_konsil(source, target) if tool == "konsil" else run_peer(python, tool, source, target)

    made, broken = work / tool / "made", work / tool / "broken"
    crashed = run(work / "made", made)["crashed"]
    refused = run(work / "broken", broken)["crashed"]
    survivors = surviving(made, WORDS.values())
    row: Row = {
        "survive": [kind for kind, word in WORDS.items() if word in survivors],
        "crashed": len(crashed),
        "broken_not_written": sorted(list(BROKEN)[int(Path(name).stem)] for name in refused),
        "broken_words_survive": sorted(surviving(broken, [WORDS["patient's name"], WORDS["patient's number"]])),
        **times_and_uids(work / "made", made),
        "same_voxels": {kind: same_voxels(work, made / "first", kind) for kind in SERIES},
    }
    if study is not None:
        row["study"] = run_study(study, work / tool / "study", run)
    return row


def times_and_uids(source: Path, target: Path) -> Row:
    """Whether days went and their interval stayed, and whether UIDs went and still belong together."""
    pairs = [(one, target / one.relative_to(source)) for one in sorted(source.rglob("*")) if one.is_file()]
    headers = [(pydicom.dcmread(one), pydicom.dcmread(two)) for one, two in pairs if two.is_file()]
    days = {str(old.StudyDate): str(new.get("StudyDate", "")) for old, new in headers}
    kept = sorted(days.items())
    shifted = [day for _, day in kept if len(day) == 8 and day.isdecimal()]
    both = (
        len(shifted) == 2 and (pydicom.valuerep.DA(shifted[1]) - pydicom.valuerep.DA(shifted[0])).days == INTERVAL_DAYS
    )
    uids: dict[str, set[str]] = {}
    for old, new in headers:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
            uids.setdefault(str(old[keyword].value), set()).add(str(new.get(keyword, "")))
    new_ones = [next(iter(found)) for found in uids.values()]
    consistent = all(len(found) == 1 for found in uids.values()) and len(set(new_ones)) == len(uids)
    return {
        "days_survive": any(old == new for old, new in days.items()),
        "interval_kept": both,
        "uids_survive": bool(set(uids) & set(new_ones)),
        "uids_consistent": consistent and "" not in new_ones,
    }


def same_voxels(work: Path, target: Path, kind: str) -> bool:
    """dcm2niix makes the same volume, in the same place, of the copies as of the files before words were planted."""
    import nibabel as nib
    import numpy as np

    folders = dict.fromkeys(path.parent for path in sorted((work / "plain").rglob("*")) if path.is_file())
    series = next(path for path in folders if is_kind(path, kind))
    with tempfile.TemporaryDirectory() as name:
        pair = (series, target / series.name)
        volumes = [converted(folder, Path(name) / str(number)) for number, folder in enumerate(pair)]
        if None in volumes:
            return False
        one, two = (nib.load(path) for path in volumes)
        return np.array_equal(one.dataobj, two.dataobj) and np.allclose(one.affine, two.affine, atol=1e-4)


def is_kind(folder: Path, kind: str) -> bool:
    """The series is a volume, and the FLAIR (long echo) or the T1w."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    header = pydicom.dcmread(files[0])
    return len(files) > 9 and (float(header.EchoTime) > 50) == (kind == "FLAIR")


def converted(series: Path, out: Path) -> Path | None:
    """The one volume that dcm2niix makes of a folder; None if it makes another number of them."""
    import dcm2niix

    out.mkdir(parents=True)
    if not series.is_dir():
        return None
    subprocess.run([dcm2niix.bin, "-z", "n", "-f", "v", "-o", out, series], check=False, stdout=subprocess.DEVNULL)
    found = sorted(out.glob("*.nii"))
    return found[0] if len(found) == 1 else None


def run_study(study: Path, target: Path, run: Any) -> Row:
    """The real study: files written, values of the originals' headers that survive."""
    values: set[str] = set()
    for path in study.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        values |= {str(header.get(name) or "").strip() for name in NAMING.split()}
    values |= {part for value in values for part in value.split("^")}
    values = {value for value in values if len(value) >= SHORTEST}
    ended = run(study, target)
    return {"written": ended["done"], "crashed": len(ended["crashed"]), "values": len(values),
            "survive": len(surviving(target, values))}  # fmt: skip


def all_same(row: Row) -> bool:
    """Every series converts to the voxels of the original."""
    return all(row["same_voxels"].values())


def show(rows: dict[str, Row]) -> None:
    """The table of docs/deidentification.md."""
    print("| | " + " | ".join(rows) + " |\n|---|" + "---|" * len(rows))
    lines = {
        f"of {len(WORDS)} planted kinds survive": lambda row: len(row["survive"]),
        "files not written": lambda row: row["crashed"],
        f"of {len(BROKEN)} files with an impossible value not written": lambda row: len(row["broken_not_written"]),
        "name or number survive in those written": lambda row: "yes" if row["broken_words_survive"] else "no",
        "original UIDs survive": lambda row: "yes" if row["uids_survive"] else "no",
        "UIDs stay together": lambda row: "yes" if row["uids_consistent"] else "no",
        "original days survive": lambda row: "yes" if row["days_survive"] else "no",
        "interval of 10 days kept": lambda row: "yes" if row["interval_kept"] else "no",
        "dcm2niix makes one volume with the same voxels": lambda row: (
            "yes" if all(row["same_voxels"].values()) else "no"
        ),
    }
    if all("study" in row for row in rows.values()):
        lines["real study: values that survive"] = lambda row: f"{row['study']['survive']} of {row['study']['values']}"
    for title, value in lines.items():
        print(f"| {title} | " + " | ".join(str(value(row)) for row in rows.values()) + " |")
    for tool, row in rows.items():
        print(f"\n{tool}: {', '.join(row['survive']) or 'nothing'} survive; not written: "
              f"{', '.join(row['broken_not_written']) or 'none'}")  # fmt: skip


def main() -> None:
    """Make the phantoms, run every tool, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--data", type=Path, help="folder of the public images; without it no real study")
    parser.add_argument("--venv", type=Path, default=ROOT / "build" / "bench" / "venv-deidentify")
    chosen = parser.parse_args()
    study = chosen.data / STUDY if chosen.data else None
    python = environment(chosen.venv.absolute())
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make(work)
        rows = {tool: figures(tool, work, python, study) for tool in ("konsil", *PEERS)}
    show(rows)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
