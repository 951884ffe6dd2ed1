"""One stint of averaging at the centre: wait for updates, make global models, hand over to the next stint."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from operators.explain import explain
from operators.run_phase import RunPhaseOperator
from operators.stint import StintOperator
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
        description="Empty: the variable konsil_patience_s, else the centre's setting.",
    ),
}

DOC = """
### Aggregate rounds

**For** the central operator, to look at: *Run federation* starts it, and nobody triggers it by hand. One run of this
DAG is a **stint**: wait, average, hand over.

- **Goes in:** the updates of the sites, as they lie in the buckets.
- **What happens:** *Wait for updates* costs no worker. *Average* closes a round when all active sites have answered,
  or when the deadline has passed and the quorum holds; it publishes the model, waits warm for the next updates, and
  goes on.
- **Comes out:** a global model per round, and the next stint, whose note says what was waited for.
- **Can go wrong:** an update cannot be used (the round goes on without it, if the quorum bears it); too few sites
  answer; the work is killed, or the store is away.
- **What to do:** nothing, at first: *Average* is tried again and ends with the same model. Below the quorum the run is
  aborted with the reason: talk to the sites, then start a new run.
"""

TASKS = {
    "wait": "Waits until there is something to average. Costs no worker.",
    "aggregate": "Checks the updates, averages them and publishes the model, round after round.",
    "next_stint": "Starts the next stint where the rounds are not over; skipped at the end.",
}


@dag(
    dag_display_name="2 · Aggregate rounds",
    description="One stint of averaging at the centre",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=10_000,  # Airflow's 16 would let a seventeenth federation wait for the others
    params=FORM,
    tags=["centre", "federation", "stint"],
    render_template_as_native_obj=True,
    default_args={"owner": "central operator", "retries": 10, "retry_delay": timedelta(seconds=5)},
)
def aggregate_rounds() -> None:
    wait = WaitOperator(task_id="wait", task_display_name="Wait for updates", run_name=RUN)
    aggregate = RunPhaseOperator(
        task_id="aggregate",
        task_display_name="Average",
        run_name=RUN,
        until="{{ params.until }}",
        patience_s=PATIENCE,
        last=True,
        stint=True,
    )
    next_stint = StintOperator(
        task_id="next_stint",
        task_display_name="Hand over to the next stint",
        trigger_dag_id="aggregate_rounds",
        run_name=RUN,
        number="{{ params.stint + 1 }}",
        after="{{ params.after }}",
        until="{{ params.until }}",
        patience_s="{{ params.patience_s }}",
        state="{{ ti.xcom_pull(task_ids='aggregate')['state'] }}",
        said="{{ ti.xcom_pull(task_ids='aggregate')['sentence'] }}",
    )
    wait >> aggregate >> next_stint


explain(aggregate_rounds(), TASKS)
