"""A site's part in one federation, from the charter in the bucket to the model in the site's folder."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetWatcher, Param, dag

from operators.approve_charter import ApproveCharterOperator
from operators.decide import DecideOperator
from operators.others import OthersOperator
from operators.stint import StintOperator
from operators.take_part import TakePartOperator
from operators.triggers import CharterTrigger
from operators.verify_charter import VerifyCharterOperator
from operators.wait import WaitOperator

# With the map index named, the triggerer can answer this too; without, the wait would never begin (Airflow 3.3.2).
RUN = "{{ ti.xcom_pull(task_ids='verify_charter', map_indexes=-1)['run'] }}"
CHARTERS = Asset("konsil_charters", watchers=[AssetWatcher(name="inbox", trigger=CharterTrigger(poll_s=2.0))])

FORM = {
    "run": Param(
        None,
        type=["null", "string"],
        title="Name of the federation",
        description="Only to start by hand; normally the charter's arrival starts this.",
    ),
    "patience_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Seconds to wait warm between two rounds",
        description="Empty: the site's own setting. 0 gives the place back after every round.",
        section="Advanced",
    ),
}

DOC = """
### Join federation

Starts by itself when a charter addressed to this site lies in the bucket. The site only ever opens **outbound**
connections.

1. The charter's signature is checked.
2. The **data custodian** reads under *Required Actions* what would leave the site, chooses the cohort, and approves,
   approves as standing policy, or refuses. Nothing is sent before that but the answer itself; without an answer nothing
   happens. Where a standing policy covers the charter, nobody is asked; anything outside it asks again.
3. Statistics of the cohort (a *fingerprint*) go to the centre, which sends back one common recipe.
4. The rounds run in *Train rounds*. Images never leave; encrypted weights do.
5. Every model is tested on this site's held-out patients, and the final model is stored here.

Stop or restart anything at any time: it continues where it was.
"""


@dag(
    dag_display_name="Join federation",
    description="A site's part in a federation",
    doc_md=DOC,
    schedule=[CHARTERS],
    catchup=False,
    max_active_runs=10_000,  # Airflow's 16 would let a seventeenth federation wait for the others
    params=FORM,
    tags=["site", "federation"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "data custodian",
        "retries": 8,  # a quarter of an hour: longer than a store or a database is usually away
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
        "run_name": RUN,
        "patience_s": 0,
    },
)
def join_federation() -> None:
    verify = VerifyCharterOperator(
        task_id="verify_charter", task_display_name="Check the charter", run_name="{{ params.run }}"
    )
    others = OthersOperator(
        task_id="others", task_display_name="Start others that arrived", trigger_dag_id="join_federation"
    )
    approve = ApproveCharterOperator(
        task_id="approve",
        task_display_name="Custodian decides",
        charter="{{ ti.xcom_pull(task_ids='verify_charter') }}",
    )
    decide = DecideOperator(
        task_id="decide", task_display_name="Record the decision", decision="{{ ti.xcom_pull(task_ids='approve') }}"
    )
    answer = TakePartOperator(task_id="answer", task_display_name="Answer the centre", until="answers")
    fingerprint = TakePartOperator(task_id="fingerprint", task_display_name="Send the fingerprint", until="recipe")
    wait_for_recipe = WaitOperator(task_id="wait_for_recipe", task_display_name="Wait for the recipe", phase="prepare")
    preprocess = TakePartOperator(task_id="preprocess", task_display_name="Preprocess", until="prepare")
    start_rounds = StintOperator(
        task_id="start_rounds",
        task_display_name="Start the rounds",
        trigger_dag_id="train_rounds",
        number=1,
        patience_s="{{ params.patience_s }}",
    )
    wait_for_rounds = WaitOperator(
        task_id="wait_for_rounds",
        task_display_name="Wait for the rounds",
        phase="evaluation",
        trigger_rule="none_failed",
    )
    local_model = TakePartOperator(
        task_id="local_model", task_display_name="Train alone, for comparison", until="evaluation"
    )
    wait_for_others = WaitOperator(
        task_id="wait_for_others", task_display_name="Wait for the other sites", phase="evaluation"
    )
    evaluate = TakePartOperator(task_id="evaluate", task_display_name="Test all models", until="evaluation")
    wait_for_final = WaitOperator(task_id="wait_for_final", task_display_name="Wait for the release", phase="release")
    store_model = TakePartOperator(
        task_id="store_model", task_display_name="Store the model", until="release", last=True
    )
    verify >> others
    verify >> approve >> decide >> answer >> fingerprint >> wait_for_recipe >> preprocess >> start_rounds
    start_rounds >> wait_for_rounds >> local_model >> wait_for_others >> evaluate >> wait_for_final >> store_model


join_federation()
