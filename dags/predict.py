"""Lesion masks for a cohort with a model that this site stored."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from konsil.cohort.folder import COHORT_NAME
from operators.explain import explain
from operators.export_model import ExportModelOperator
from operators.forms import whole
from operators.predict import MODEL_NAME, PredictOperator

FORM = {
    # The browser offers cohorts and models of this place instead of letting them be typed (plugins/choices.py).
    "cohort": Param(type="string", title="Cohort", pattern=whole(COHORT_NAME.pattern)),
    "model": Param(
        type="string",
        title="Model",
        pattern=whole(MODEL_NAME.pattern),
        description="Named after the federation that made it.",
    ),
    "which": Param(
        default="result",
        type="string",
        enum=["result", "best", "last"],
        values_display={
            "result": "Result: what the federation ended with",
            "best": "Best: the round with the best validation",
            "last": "Last: the last round",
        },
        title="Which of its rounds",
        description="Best and last are stored where they are not the result.",
    ),
    "export": Param(
        default=False,
        type="boolean",
        title="Also for nnU-Net",
        description="Write the model as a zip that nnUNetv2_install_pretrained_model_from_zip unpacks.",
    ),
}

DOC = """
### Predict lesions

**For** site staff.

- **Goes in:** a prepared cohort, and the model of a federation this site took part in. The form offers what is here.
- **Comes out:** a lesion mask for every case, a table of the lesions (CSV and JSON) and a page with pictures, in the
  cohort's derivatives; DICOM segmentations that refer to the source FLAIR, in `work/<cohort>/segmentations`. A case
  without lesions gets no segmentation; the page says so.
- **Can go wrong:** there is no such model here; the cohort lacks an image the model needs; a case cannot be read and is
  set aside with its reason, while the others go on.
- **What to do:** the last line of the log says what lacks. Trigger it again: masks that are there are not drawn twice.

Research use only, not a medical device: no mask replaces a radiologist's look.
"""

TASKS = {
    "predict": "Draws the masks, measures the lesions, writes table, page and DICOM segmentations.",
    "export_model": "Writes the model as a zip for nnU-Net into the site's folder exports. Skipped unless asked for.",
}


@dag(
    dag_display_name="4 · Predict lesions",
    description="Lesion masks for a cohort with a stored model",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    params=FORM,
    tags=["site", "images"],
    default_args={"owner": "site staff", "retries": 2, "retry_delay": timedelta(seconds=10)},
)
def predict() -> None:
    PredictOperator(
        task_id="predict",
        task_display_name="Draw the masks",
        cohort="{{ params.cohort }}",
        model="{{ params.model }}",
        which="{{ params.which }}",
    )
    ExportModelOperator(
        task_id="export_model",
        task_display_name="Hand the model on",
        model="{{ params.model }}",
        which="{{ params.which }}",
        wanted="{{ params.export }}",
    )


explain(predict(), TASKS)
