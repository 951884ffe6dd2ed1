"""What is wrong at this place and what to do."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from operators.doctor import DoctorOperator
from operators.explain import explain

DOC = """
### Doctor

**For** anybody: when something does not go on, after an upgrade, and after a restore. No field has to be filled in.

- **Goes in:** nothing; it looks at this place's home, keys, store, clock, audit log, disk, graphics card, nnU-Net
  folders, versions and dcm2niix.
- **Comes out:** one line each in the log of *Examine*, with what to do. It changes nothing.
- **Can go wrong:** the task fails if something that this place needs does not work; its last line says what.
- **What to do:** what that line says; then trigger it again. Give the log to IT where you cannot.
"""

TASKS = {
    "examine": "`konsil doctor`, line by line in the log. Red: something that this place needs does not work.",
}


@dag(
    dag_display_name="5 · Doctor",
    description="What is wrong at this place and what to do",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["site", "centre", "health"],
    default_args={"owner": "site staff", "retries": 2, "retry_delay": timedelta(seconds=10)},
)
def doctor() -> None:
    DoctorOperator(task_id="examine", task_display_name="Examine")


explain(doctor(), TASKS)
