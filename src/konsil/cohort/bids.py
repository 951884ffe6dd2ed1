"""The descriptions that make a folder a BIDS data set.

BIDS 1.10 wants a `dataset_description.json` and a README at the root and in each derivative, a `participants.tsv` whose
columns are explained beside it, and a JSON sidecar beside each image. Participants are pseudonyms; age, sex and dates
of birth are not kept, and nobody is named as author: a cohort does not leave its hospital.

What BIDS has no name for is listed in `.bidsignore`: the frozen version, transforms (proposed as BEP 14), files of the
quality control and pages of reports. Everything else passes the BIDS validator, run on the raw folder and on the
derivative; its recursion (`-r`, version 3.0.2) does not heed the `.bidsignore` of a derivative.
"""

from __future__ import annotations

from konsil.cohort.bids_sidecar import RAW
from konsil.cohort.folder import CohortFolder
from konsil.files import write_bytes, write_json
from konsil.provenance import generated_by

BIDS_VERSION = "1.10.0"
IGNORED = "cohort.json\n"
IGNORED_DERIVED = "*_xfm.txt\n*_xfm.json\n*_qc.json\nreports\n"
README = """# {name}

T1w and FLAIR images of the head, prepared by Konsil from the DICOM files of one hospital.

- Participants are pseudonyms; sessions are dates that were shifted by a secret number of days per participant, so that
  intervals within a participant are true.
- Images keep the scanner's voxels. Faces are not removed: this folder stays at the site.
- `derivatives/konsil` holds what was computed from the images; `cohort.json`, once it is there, the frozen version.

Research use only, not a medical device.
"""
README_DERIVED = """# {name}

Computed by Konsil from the raw images two folders above. All images have RAS+ axis order.

- `desc-oriented`: the raw image, axes reordered. `desc-registered`: T1w on the grid of the oriented FLAIR.
- `desc-brain_mask`, `label-L_mask`: brain and lesions. `desc-brain`: images without what is not brain.
- `from-T1w_to-FLAIR_mode-image_xfm.txt`: the rigid transform, as ITK writes it.
- `*_qc.json` and `reports/`: measures, verdicts and pages of the quality control.

Research use only, not a medical device.
"""
PARTICIPANTS = {
    "participant_id": {"Description": "Pseudonym, keyed by a secret of the site; the same in every cohort."}
}


def describe(cohort: CohortFolder) -> None:
    """Write descriptions, READMEs, participants and .bidsignore of raw and derivative; quick and repeatable."""
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
        "DatasetLinks": {RAW: "../.."},
    }
    for folder, description, readme, ignored in (
        (cohort.path, raw, README, IGNORED),
        (cohort.derivatives, derived, README_DERIVED, IGNORED_DERIVED),
    ):
        write_json(folder / "dataset_description.json", description)
        write_bytes(folder / "README.md", readme.format(name=description["Name"]).encode())
        write_bytes(folder / ".bidsignore", ignored.encode())
    subjects = sorted({case.subject for case in cohort.cases()})
    table = "\n".join(["participant_id", *(f"sub-{subject}" for subject in subjects)])
    write_bytes(cohort.path / "participants.tsv", f"{table}\n".encode())
    write_json(cohort.path / "participants.json", PARTICIPANTS)
