"""Lesion masks for a cohort with a model that this site stored."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from operators.predict import PredictOperator

FORM = {
    "cohort": Param(type="string", title="Cohort", pattern="^[a-z0-9][a-z0-9-]{1,40}$"),
    "model": Param(
        type="string",
        title="Model",
        pattern="^[a-z0-9][a-z0-9-]{2,40}$",
        description="Name of the federation that made it.",
    ),
}

DOC = """
### Predict

Draws lesion masks for every case of a prepared cohort with the final model of a federation this site took part in. The
masks lie in the cohort's derivatives.

Research use only, not a medical device: no mask replaces a radiologist's look.
"""


@dag(
    dag_display_name="Predict lesions",
    description="Lesion masks for a cohort with a stored model",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    params=FORM,
    tags=["site", "prediction"],
    default_args={"owner": "site staff", "retries": 2, "retry_delay": timedelta(seconds=10)},
)
def predict() -> None:
    PredictOperator(
        task_id="predict", task_display_name="Draw the masks", cohort="{{ params.cohort }}", model="{{ params.model }}"
    )


predict()
