"""One stint of training at a site: wait for the global model, train round after round, hand over to the next stint."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from operators.explain import explain
from operators.stint import StintOperator
from operators.take_part import TakePartOperator
from operators.wait import WaitOperator

RUN = "{{ params.run }}"
# The stint's own, else the Airflow variable of this place, which is read anew by every stint, else KONSIL_PATIENCE_S.
PATIENCE = "{{ params.patience_s if params.patience_s is not none else var.value.get('konsil_patience_s', '') }}"

FORM = {
    # A waiting task reads the form without the values typed in: in a DAG that waits, every field needs a default.
    "run": Param(None, type=["null", "string"], title="Name of the federation (needed)"),
    "stint": Param(1, type="integer", minimum=1, title="Number of this stint"),
    "after": Param(0, type="integer", minimum=0, title="Round that an extension follows (0: none)"),
    "until": Param(
        "rounds",
        type="string",
        enum=["rounds", "release"],
        title="Work until",
        description="release: the stints of an extension also do what comes after its rounds.",
    ),
    "patience_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Seconds to wait warm",
        description="Empty: the variable konsil_patience_s, else the site's setting.",
    ),
}

DOC = """
### Train rounds

**For** site staff, to look at: *Join federation* starts it, and nobody triggers it by hand. One run of this DAG is a
**stint**: wait, train, hand over.

- **Goes in:** the newest global model in the bucket, and the site's preprocessed cases.
- **What happens:** *Wait for the global model* costs no worker and no graphics card. *Train* does a round, publishes
  its update, waits warm for the next model, and goes on. When the others are slower than the site's patience, the
  stint ends.
- **Comes out:** one update per round, encrypted for the centre, and the next stint, whose note says what was waited
  for.
- **Can go wrong:** the work is killed, memory runs out, the card is full, the store is away, training goes astray.
- **What to do:** nothing, at first: *Train* is tried again up to ten times, and continues at the same round, because
  what a stint knew lies in the bucket and in the site's folder. If it is red, mend what its log names and clear it.
"""

TASKS = {
    "wait": "Waits for the next global model. Costs no worker and no graphics card.",
    "train": "Trains round after round, and publishes each update. Yellow: it is tried again at the same round.",
    "next_stint": "Starts the next stint where the rounds are not over; skipped at the end.",
}


@dag(
    dag_display_name="3 · Train rounds",
    description="One stint of training at a site",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=10_000,  # Airflow's 16 would let a seventeenth federation wait for the others
    params=FORM,
    tags=["site", "federation", "stint"],
    render_template_as_native_obj=True,
    default_args={"owner": "site staff", "retries": 10, "retry_delay": timedelta(seconds=5)},
)
def train_rounds() -> None:
    wait = WaitOperator(task_id="wait", task_display_name="Wait for the global model", run_name=RUN)
    train = TakePartOperator(
        task_id="train",
        task_display_name="Train",
        run_name=RUN,
        until="{{ params.until }}",
        patience_s=PATIENCE,
        last=True,
        stint=True,
    )
    next_stint = StintOperator(
        task_id="next_stint",
        task_display_name="Hand over to the next stint",
        trigger_dag_id="train_rounds",
        run_name=RUN,
        number="{{ params.stint + 1 }}",
        after="{{ params.after }}",
        until="{{ params.until }}",
        patience_s="{{ params.patience_s }}",
        state="{{ ti.xcom_pull(task_ids='train')['state'] }}",
        said="{{ ti.xcom_pull(task_ids='train')['sentence'] }}",
    )
    wait >> train >> next_stint


explain(train_rounds(), TASKS)
