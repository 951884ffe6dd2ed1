"""A hospital's inbox full of synthetic patients, and beside it the truth about them.

Patient n of the hospital with seed s is `make_patient(1000 s + n, site)`. The truth (identifiers, motion, lesions,
faults) lies outside the inbox, is written anew after every patient, and lets a killed run go on where it stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from konsil.errors import BadInput
from konsil.files import read_json, write_json
from konsil.phantom.faults import ARTIFACTS, Fault, spoil
from konsil.phantom.header import Visit
from konsil.phantom.identity import invent
from konsil.phantom.patient import Patient, make_patient, scanner_of
from konsil.phantom.profile import site_named
from konsil.phantom.visit import write_visit
from konsil.types import Json

logger = logging.getLogger(__name__)

SEEDS_PER_HOSPITAL, LARGEST_HOSPITAL = 1000, 400
GUEST = 500  # added to a patient's number for the one who was filed in the same folder
LOCALIZER_SHARE = 0.5


@dataclass(frozen=True)
class Order:
    """What to make; `faults` says how many patients get which fault, by the fault's text."""

    site: str
    cases: int
    seed: int
    resolution_mm: float
    faults: Mapping[str, int]

    def as_json(self) -> Json:
        """The head of the truth file, by which an interrupted run is recognised."""
        return {**vars(self), "faults": dict(self.faults)}


def write_hospital(
    out: Path, *, site: str, cases: int, seed: int, resolution_mm: float, faults: Mapping[str, int], truth: Path
) -> None:
    """Write `cases` patients of a site as DICOM into `out`, and what is true about them to `truth`.

    The same arguments give the same bytes. If a run was interrupted, the same call goes on with the patients that are
    missing. Raises BadInput for an unknown site or fault, more faults than patients, a truth file inside the inbox, or
    a folder that holds something else.
    """
    order = Order(site, cases, seed, resolution_mm, {name: count for name, count in faults.items() if count})
    check(order, out, truth)
    record = begin(order, out, truth)
    plan = assign_faults(order)
    there = {entry["number"] for entry in record["patients"] if (out / entry["folder"]).is_dir()}
    for number in shown([n for n in range(1, cases + 1) if n not in there]):
        started = time.perf_counter()
        record["patients"] = [entry for entry in record["patients"] if entry["number"] != number]
        record["patients"] += write_patient(out, order, number, plan[number])
        record["patients"].sort(key=lambda entry: (entry["number"], entry["guest"]))
        write_json(truth, record)
        logger.info("patient %d of %d written in %.1f s", number, cases, time.perf_counter() - started)


def check(order: Order, out: Path, truth: Path) -> None:
    """Refuse an order that cannot be met."""
    site_named(order.site)
    for text in order.faults:
        Fault.parse(text)
    if not 1 <= order.cases <= LARGEST_HOSPITAL:
        raise BadInput(
            "a phantom hospital of this size cannot be made", expected="1 to 400 cases", got=str(order.cases)
        )
    if order.seed < 0 or any(count < 0 for count in order.faults.values()):
        raise BadInput("seed and numbers of faults are counts", expected="0 or more")
    if sum(order.faults.values()) > order.cases:
        wanted = sum(order.faults.values())
        raise BadInput("there are more faults than patients", expected=f"at most {order.cases}", got=str(wanted))
    if truth.resolve().is_relative_to(out.resolve()):
        raise BadInput(
            "the truth may not lie in the inbox", expected=f"a file outside {out.name}", hint="Name it with --truth"
        )


def begin(order: Order, out: Path, truth: Path) -> Json:
    """The truth so far: of an interrupted run of the same order, or empty for an empty folder."""
    if truth.is_file():
        record = read_json(truth)
        if {key: record.get(key) for key in order.as_json()} == order.as_json():
            return record
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(
            "this folder holds something else",
            expected="an empty folder, or one begun with the same arguments and the same truth file",
            hint="Choose another folder, or empty this one",
        )
    record = order.as_json() | {"patients": []}
    out.mkdir(parents=True, exist_ok=True)
    write_json(truth, record)
    return record


def assign_faults(order: Order) -> dict[int, str]:
    """Which patient has which fault ("" = none), drawn by the seed."""
    names = [name for name in sorted(order.faults) for _ in range(order.faults[name])]
    names += [""] * (order.cases - len(names))
    chance = np.random.default_rng([order.seed, *b"faults"])
    return {number: str(name) for number, name in enumerate(chance.permutation(np.array(names)), start=1)}


def shown(numbers: list[int]) -> Iterator[int]:
    """The numbers, with a bar on a terminal; a log has its lines anyway."""
    console = Console(stderr=True)
    yield from track(numbers, description="Patients", console=console, disable=not sys.stderr.isatty(), transient=True)


def write_patient(out: Path, order: Order, number: int, fault: str) -> list[Json]:
    """Make one patient beside the inbox and move it in whole; returns the truth, of a guest in the folder too."""
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    entries = [admit(part, order, number, fault)]
    if fault == "mixed_patients":
        entries.append(mix(part, order, entries[0]))
    final = out / entries[0]["folder"]
    shutil.rmtree(final, ignore_errors=True)
    (part / entries[0]["folder"]).replace(final)
    shutil.rmtree(part)
    return entries


def admit(folder: Path, order: Order, number: int, text: str = "", *, guest: bool = False) -> Json:
    """Make, spoil and write one patient; `text` is that of the fault."""
    fault = Fault.parse(text)
    who = number + GUEST if guest else number
    patient = make_patient(
        order.seed * SEEDS_PER_HOSPITAL + who,
        order.site,
        resolution_mm=order.resolution_mm,
        healthy=fault.name == "no_lesions",
    )
    if fault.name == "swapped_patients":
        patient = swap(patient, order, number)
    chance = np.random.default_rng([order.seed, who, *order.site.encode()])
    identity = invent(chance, who)
    localizer = bool(chance.random() < LOCALIZER_SHARE)
    visit = Visit(identity, site_named(order.site), patient.profile, seed=f"{order.site}/{order.seed}/{who}")
    truth = write_visit(folder, visit, spoil(chance, patient, text), fault=fault.name, localizer=localizer)
    if fault.name == "swapped_patients":
        truth["t1w_to_flair"] = None  # two heads: no motion leads from one to the other
    return truth | {"number": number, "guest": guest, **fault_facts(fault)}


def fault_facts(fault: Fault) -> Json:
    """What the truth says of a fault; artifacts have a severity."""
    return {"fault": fault.name, "severity": fault.severity if fault.name in ARTIFACTS else None}


def swap(patient: Patient, order: Order, number: int) -> Patient:
    """The patient with the T1w of a stranger from the same scanner, so that nothing but anatomy tells them apart."""
    seeds = (order.seed * SEEDS_PER_HOSPITAL + GUEST + (number + step) % GUEST for step in range(GUEST))
    seed = next(seed for seed in seeds if scanner_of(seed, order.site) == patient.profile)
    stranger = make_patient(seed, order.site, resolution_mm=order.resolution_mm)
    return dataclasses.replace(patient, t1w=stranger.t1w, brain_t1w=stranger.brain_t1w)


def mix(part: Path, order: Order, host: Json) -> Json:
    """File a second patient's images in the folders of the first, slice beside slice."""
    guest = admit(part / "guest", order, host["number"], guest=True)
    study = next((part / host["folder"]).iterdir())
    homes = {folder.name[:3]: folder for folder in study.iterdir()}
    for path in sorted(p for p in (part / "guest").rglob("*") if p.is_file()):
        home = homes.get(path.parent.name[:3], study)
        path.replace(home / f"G_{path.name}")
    guest["identifiers"]["FolderName"] = host["folder"]
    return guest | {"folder": host["folder"]}
