"""A site's part in one federation, from the charter in the bucket to the model in the site's folder."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetWatcher, Param, dag

from konsil.parties.ledger import RUN_NAME
from operators.approve_charter import ApproveCharterOperator
from operators.decide import DecideOperator
from operators.explain import explain
from operators.forms import whole
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
        pattern=whole(RUN_NAME.pattern),
        title="Name of the federation",
        description="Only to start by hand; normally the charter's arrival starts this.",
    ),
    "patience_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Seconds to wait warm between two rounds",
        description="Empty: the variable konsil_patience_s, else the site's setting. 0 gives the place back after "
        "every round.",
        section="Advanced",
    ),
}

DOC = """
### Join federation

**For** the data custodian, who decides under **Required Actions**. It starts by itself when a charter addressed to
this site lies in the bucket; the site only ever opens **outbound** connections.

- **Goes in:** the centre's signed charter, the custodian's decision, and a frozen cohort of this site. Where a standing
  policy covers the charter, nobody is asked; anything outside it asks again.
- **What happens:** statistics of the cohort (a *fingerprint*) go to the centre, which sends back one common recipe. The
  rounds run in *Train rounds*. Then every model is tested on this site's held-out patients.
- **Comes out:** the model and the report, stored here (tab **Federation**). Images never leave; encrypted weights and
  figures do, as the charter says. Before the decision nothing is sent, and without an answer nothing happens.
- **Can go wrong:** the cohort does not fit the charter; the learner or the cohort changed after the decision, which
  makes it void; the store is away; the run ends without this site.
- **What to do:** the log's last line says which. Void: trigger this with the run's name, and the custodian is asked
  again. Away: nothing, it is tried again. Stop or restart anything at any time: it continues where it was.
"""

TASKS = {
    "verify_charter": "Checks that the charter is really the centre's, and reads what it asks.",
    "others": "Starts this DAG for other charters that came at the same moment. Nearly always skipped.",
    "approve": "Asks the custodian: approve, approve as standing policy, or refuse. Red where a field was left empty: "
    "clear it, and the custodian is asked again.",
    "decide": "Signs and keeps the decision. Red where the cohort does not fit the charter: clear the question before "
    "it with what follows.",
    "answer": "Tells the centre yes or no. After a no, everything that follows is skipped.",
    "fingerprint": "Sends statistics of the training cases. No image, no name and no date goes with them.",
    "wait_for_recipe": "Waits until the centre has merged all fingerprints into one recipe. Costs no worker.",
    "preprocess": "Prepares this site's cases as the recipe says. It may take hours and much disk.",
    "start_rounds": "Starts the first stint of the rounds. A button under Details leads there.",
    "wait_for_rounds": "Waits for the last round. Costs no worker; the tab Federation shows how far the run is.",
    "local_model": "Trains a model on this site's patients alone, if the charter asks for the comparison.",
    "wait_for_others": "Waits for the other sites' local models. Costs no worker.",
    "evaluate": "Tests every model on this site's held-out patients.",
    "wait_for_final": "Waits until the centre releases the model. Costs no worker.",
    "store_model": "Keeps the model with its card, and writes the report.",
}


@dag(
    dag_display_name="2 · Join federation",
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
    decide = decided()
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
    decide >> answer >> fingerprint >> wait_for_recipe >> preprocess >> start_rounds >> after_the_rounds()


def decided() -> DecideOperator:
    """From the charter to the custodian's recorded decision; other charters get runs of their own."""
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
    verify >> [others, approve]
    approve >> decide
    return decide


def after_the_rounds() -> WaitOperator:
    """From the last round to the stored model; the first of these tasks."""
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
    wait_for_rounds >> local_model >> wait_for_others >> evaluate >> wait_for_final >> store_model
    return wait_for_rounds


explain(join_federation(), TASKS)
