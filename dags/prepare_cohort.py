"""From a folder of DICOM to a frozen cohort, with a reviewer's choices and signature in between."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task_group

from konsil.cohort.folder import COHORT_NAME
from operators.batches import BatchOperator
from operators.choose import ChooseOperator
from operators.convert import ConvertOperator
from operators.deidentify import DeidentifyOperator
from operators.explain import explain
from operators.forms import whole
from operators.freeze import FreezeOperator
from operators.mask import MaskOperator
from operators.orient import OrientOperator
from operators.qc import QcOperator
from operators.register import RegisterOperator
from operators.report import ReportOperator
from operators.scan import ScanOperator
from operators.sign_off import SignOffOperator

COHORT = "{{ params.cohort }}"
OPTIONAL_TEXT = ["null", "string"]
SORTED = "{{ (ti.xcom_pull(task_ids='settle') or ti.xcom_pull(task_ids='scan') or {}).get('done', []) }}"

FORM = {
    "cohort": Param(
        type="string",
        title="Name of the cohort",
        description="2 to 41 lower-case letters, digits and hyphens, such as ms-2026.",
        pattern=whole(COHORT_NAME.pattern),
    ),
    "inbox": Param(
        None,
        type=OPTIONAL_TEXT,
        title="Folder with DICOM",
        description="A folder on this site's machine; empty means the site's inbox.",
    ),
    "limits": Param(
        "ms-paper",
        type="string",
        enum=["ms-paper", "wide", "phantom-2mm"],
        title="Limits of the quality control",
        description="ms-paper: voxels of 1.0 ± 0.1 mm, as published. wide: other sizes too. phantom-2mm: synthetic.",
    ),
    "batch_size": Param(
        50,
        type="integer",
        minimum=1,
        maximum=10000,
        title="Cases in one batch",
        description="Smaller batches share the work between cores; each costs a few seconds.",
        section="Advanced",
    ),
    "seed": Param(
        0, type="integer", minimum=0, title="Seed", description="Of the split by patient.", section="Advanced"
    ),
    "validation_share": Param(
        0.2,
        type="number",
        minimum=0.05,
        maximum=0.4,
        title="Share of patients for validation",
        description="They watch the training and choose the best round.",
        section="Advanced",
    ),
    "test_share": Param(
        0.2,
        type="number",
        minimum=0.05,
        maximum=0.5,
        title="Share of patients for the test",
        description="They are held out to the end. The others train.",
        section="Advanced",
    ),
}

DOC = """
### Prepare cohort

**For** site staff; a reviewer chooses and signs.

- **Goes in:** DICOM in the site's inbox, or in the folder you name, and a name for the cohort. A case is one patient on
  one day with **T1w and FLAIR**.
- **What happens:** series are sorted into cases; each case is de-identified, converted, oriented, masked, registered
  and measured. Under the tab **Quality** a reviewer accepts or excludes cases, and signs under **Required Actions**.
- **Comes out:** a frozen cohort: hashed, split by patient, ready for a federation. It never changes again.
- **Can go wrong:** a case lacks a series or does not fit together. It is **set aside with its reason**, and the others
  go on. A task is red only where nothing came through, or the machine did not do its part.
- **What to do:** read the last line of the red task's log, mend what it names, and trigger this again with the same
  name: it continues where it stopped. A frozen cohort takes no more images: give the new one a new name.

Research use only, not a medical device.
"""

TASKS = {
    "scan": "Sorts the series of the inbox into cases: which is the T1w, which the FLAIR. What it cannot use it sets "
    "aside with a reason. Red: no DICOM was found, or a frozen cohort has this name.",
    "choose": "Asks a reviewer which of several equally good series to take. Skipped where nothing has to be chosen.",
    "settle": "Sorts again, with the reviewer's choices. Skipped where nothing was chosen.",
    "batches": "Cuts the cases into batches, which are worked on side by side.",
    "batch.deidentify": "Removes names, dates and everything else that may tell who a patient is. A case in which "
    "something may remain is set aside.",
    "batch.convert": "Makes NIfTI images of the DICOM and checks their geometry: no slice lacks, none lies elsewhere.",
    "batch.orient": "Turns all images the same way.",
    "batch.mask": "Finds the brain in each image.",
    "batch.register": "Lays the T1w over the FLAIR of the same day, and says how well they fit.",
    "batch.qc": "Measures the quality of each case and says pass, warn or fail, with reasons. The reviewer decides.",
    "report": "Writes a page for every case and one for the cohort. They are under the tab Quality.",
    "sign_off": "Asks a reviewer to sign the cohort. Reject ends this and freezes nothing. Skipped where no case came "
    "through: the report says why.",
    "freeze": "Hashes the cases and splits the patients into training, validation and test. Red where the report "
    "changed after the signature: clear the task that writes the report, and sign again.",
}


@task_group(group_id="batch", group_display_name="Prepare each batch")
def batch(cases: list[str]) -> None:
    """The steps of one batch of cases."""
    which = {"cohort": COHORT, "cases": cases}
    raw = {**which, "inbox": "{{ params.inbox }}"}
    deidentify = DeidentifyOperator(task_id="deidentify", task_display_name="De-identify", **raw)
    convert = ConvertOperator(task_id="convert", task_display_name="Convert to NIfTI", **which)
    orient = OrientOperator(task_id="orient", task_display_name="Orient", **which)
    mask = MaskOperator(task_id="mask", task_display_name="Find the brain", **which)
    register = RegisterOperator(task_id="register", task_display_name="Register T1w to FLAIR", **which)
    qc = QcOperator(task_id="qc", task_display_name="Measure quality", limits="{{ params.limits }}", **which)
    deidentify >> convert >> orient >> mask >> register >> qc


@dag(
    dag_display_name="1 · Prepare cohort",
    description="DICOM in, checked and signed cohort out",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    params=FORM,
    tags=["site", "images"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "site staff",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": True,
    },
)
def prepare_cohort() -> None:
    inbox = "{{ params.inbox }}"
    scan = ScanOperator(task_id="scan", task_display_name="Sort the inbox", cohort=COHORT, inbox=inbox)
    choose = ChooseOperator(
        task_id="choose", task_display_name="Reviewer chooses series", cohort=COHORT, trigger_rule="none_failed"
    )
    settle = ScanOperator(task_id="settle", task_display_name="Apply the choices", cohort=COHORT, inbox=inbox)
    batches = BatchOperator(
        task_id="batches",
        task_display_name="Cut into batches",
        cases=SORTED,
        size="{{ params.batch_size }}",
        trigger_rule="none_failed",
    )

    prepared = batch.expand(cases=batches.output)
    report = ReportOperator(
        task_id="report", task_display_name="Write the report", cohort=COHORT, trigger_rule="none_failed"
    )
    sign_off = SignOffOperator(
        task_id="sign_off",
        task_display_name="Reviewer signs",
        cohort=COHORT,
        report="{{ ti.xcom_pull(task_ids='report') }}",
    )
    freeze = FreezeOperator(
        task_id="freeze",
        task_display_name="Freeze the cohort",
        cohort=COHORT,
        sign_off="{{ ti.xcom_pull(task_ids='sign_off') }}",
        seed="{{ params.seed }}",
        validation_share="{{ params.validation_share }}",
        test_share="{{ params.test_share }}",
    )
    scan >> choose >> settle >> batches >> prepared >> report >> sign_off >> freeze


explain(prepare_cohort(), TASKS)
