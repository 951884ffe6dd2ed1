"""A frozen cohort's images in a folder of their own, to be handed on within a project.

What is written is a BIDS derivative (BIDS 1.10) and a frozen cohort at once: the images and labels that `cohort.json`
names, a sidecar beside each, and a `cohort.json` with their new hashes, written last. Reports, raw images, sidecars of
the preparation and everything about cases that were excluded stay behind, and so does the name of whoever signed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from konsil.cohort.bids import BIDS_VERSION, IGNORED, PARTICIPANTS
from konsil.cohort.bids_sidecar import RAW, derived_facts
from konsil.cohort.derivative import sidecar
from konsil.cohort.frozen import FrozenCase, FrozenCohort, read_frozen
from konsil.errors import BadInput
from konsil.files import replacing, sha256_of, write_bytes, write_json
from konsil.provenance import generated_by
from konsil.types import Json

Change: TypeAlias = Callable[[FrozenCase, dict[str, Path], dict[str, Path]], Json]
"""Writes the images of a case (channel → source, channel → target) and returns facts for their sidecars."""
SIGNED = "the site"
DESCRIPTIONS = ("dataset_description.json", "README.md", "participants.tsv", "participants.json", ".bidsignore")
README = """# {name}

Images of a frozen Konsil cohort, exported to be used within a project. Participants are pseudonyms, sessions are
shifted dates. {faces} Not to be published. Research use only, not a medical device.
"""


def export(cohort: FrozenCohort, out: Path, change: Change, *, faces: str) -> FrozenCohort:
    """Write the images and labels of `cohort` to `out`; `change` writes a case's images, `faces` is for the README.

    A folder that holds an export of the same cohort is completed. Raises `BadInput` for a folder that holds anything
    else, or that lies in the cohort's own.
    """
    check(cohort, out)
    cases = [export_case(case, cohort.root, out, change) for case in cohort.cases]
    describe(cohort, out, faces)
    signed = cohort.sign_off and cohort.sign_off.model_copy(update={"by": SIGNED, "decisions": {}})
    exported = cohort.model_copy(update={"cases": cases, "excluded": {}, "sign_off": signed})
    write_json(out / "cohort.json", exported.model_dump(mode="json", exclude_none=False))
    return read_frozen(out)


def check(cohort: FrozenCohort, out: Path) -> None:
    """Refuse a folder that an export could spoil."""
    if out.resolve().is_relative_to(cohort.root.resolve()):
        raise BadInput("the export may not lie in the cohort's folder", expected="a folder elsewhere")
    expected = {*DESCRIPTIONS, "cohort.json", *(f"sub-{case.subject}" for case in cohort.cases)}
    others = {path.name for path in out.iterdir()} - expected if out.is_dir() else set()
    if others:
        raise BadInput(
            "the folder for the export holds something else",
            expected="an empty or a new folder",
            got=f"{len(others)} other files or folders",
        )


def export_case(case: FrozenCase, root: Path, out: Path, change: Change) -> FrozenCase:
    """Write one case; returns it with its new paths and hashes."""
    images = {channel: place_of(case, path) for channel, path in case.images.items()}
    sources = {channel: root / path for channel, path in case.images.items()}
    facts = change(case, sources, {channel: out / path for channel, path in images.items()})
    label = place_of(case, case.label) if case.label else None
    if case.label and label:
        copy(root / case.label, out / label)
    for path in (*images.values(), *([label] if label else [])):
        write_json(sidecar(out / path), facts_of(out / path) | ({} if path == label else facts))
    files = [*images.values(), *([label] if label else [])]
    hashes = {path: sha256_of(out / path) for path in files}
    return case.model_copy(update={"images": images, "label": label, "sha256": hashes})


def facts_of(path: Path) -> Json:
    """What the sidecar of an exported file says; what it refers to lies in the same folder."""
    facts = {"GeneratedBy": [generated_by("exported")], **derived_facts(path)}
    if "SpatialReference" in facts:
        facts["SpatialReference"] = facts["SpatialReference"].replace(f"bids:{RAW}:", "bids::")
    return facts


def place_of(case: FrozenCase, path: str) -> str:
    """Where a file of a case lies in the export."""
    session = case.case.removeprefix(f"sub-{case.subject}_")
    return f"sub-{case.subject}/{session}/anat/{PurePosixPath(path).name}"


def copy(source: Path, target: Path) -> None:
    """The same bytes at another place, whole or not at all."""
    with replacing(target) as part:
        part.write_bytes(source.read_bytes())


def copy_all(_case: FrozenCase, sources: dict[str, Path], targets: dict[str, Path]) -> Json:
    """A `Change` that changes nothing."""
    for channel, source in sources.items():
        copy(source, targets[channel])
    return {"Defaced": False}


def describe(cohort: FrozenCohort, out: Path, faces: str) -> None:
    """What makes the folder a BIDS derivative."""
    name = f"Konsil cohort {cohort.name}"
    description = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative"}
    write_json(out / "dataset_description.json", {**description, "GeneratedBy": [generated_by("exported")]})
    write_bytes(out / "README.md", README.format(name=name, faces=faces).encode())
    table = "\n".join(["participant_id", *(f"sub-{one}" for one in sorted({case.subject for case in cohort.cases}))])
    write_bytes(out / "participants.tsv", f"{table}\n".encode())
    write_json(out / "participants.json", PARTICIPANTS)
    write_bytes(out / ".bidsignore", IGNORED.encode())
