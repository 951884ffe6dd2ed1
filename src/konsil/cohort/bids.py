"""The descriptions that make a folder a BIDS data set.

BIDS 1.10 wants a `dataset_description.json` at the root and one per derivative, a `participants.tsv`, and a JSON
sidecar beside each image. Participants are pseudonyms; age, sex and dates of birth are not kept.
"""

from __future__ import annotations

from konsil.cohort.folder import CohortFolder
from konsil.files import write_bytes, write_json
from konsil.provenance import generated_by

BIDS_VERSION = "1.10.0"


def describe(cohort: CohortFolder) -> None:
    """Write dataset_description.json (raw and derivative), participants.tsv and .bidsignore; quick and repeatable."""
    raw = {
        "Name": f"Konsil cohort {cohort.name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [generated_by("DICOM, de-identified and converted with dcm2niix")],
    }
    derived = {
        "Name": f"Konsil derivatives of cohort {cohort.name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generated_by("orientation, brain masks, quality control, registration")],
        "SourceDatasets": [{"URL": "file://../../"}],
    }
    write_json(cohort.path / "dataset_description.json", raw)
    write_json(cohort.derivatives / "dataset_description.json", derived)
    subjects = sorted({case.subject for case in cohort.cases()})
    table = "\n".join(["participant_id", *(f"sub-{subject}" for subject in subjects)])
    write_bytes(cohort.path / "participants.tsv", f"{table}\n".encode())
    write_bytes(cohort.path / ".bidsignore", b"cohort.json\n")
