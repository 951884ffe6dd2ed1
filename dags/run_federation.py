"""The centre's side of one federation, from the form to the released model."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag

from konsil.federation.charter import Charter
from konsil.federation.strategies.choice import NAMES
from operators.explain import explain
from operators.forms import choices, field
from operators.publish_charter import PublishCharterOperator
from operators.run_phase import RunPhaseOperator
from operators.stint import StintOperator
from operators.wait import WaitOperator

RUN = "{{ params.run }}"
STRATEGIES = {
    "fedavg": "fedavg: mean by training cases",
    "fedavgm": "fedavgm: mean with momentum at the centre",
    "fedadam": "fedadam: Adam at the centre",
    "fedyogi": "fedyogi: Yogi at the centre",
    "median": "median: of every weight",
    "trimmed_mean": "trimmed_mean: without the extremes",
    "krum": "krum: the most central update",
    "multi_krum": "multi_krum: mean of the central updates",
    "fedprox": "fedprox: sites are held near the global model",
    "scaffold": "scaffold: sites correct their drift",
    "fedbn": "fedbn: normalisation stays at the site",
    "ditto": "ditto: each site also keeps a model of its own",
    "asym_fedavg": "asym_fedavg: sites with networks of their own",
}

FORM = {
    # A waiting task reads the form without the values typed in: in a DAG that waits, every field needs a default.
    "run": field(
        Charter,
        "run",
        needed=False,
        title="Name of the federation (needed)",
        description="3 to 41 lower-case letters, digits and hyphens, such as ms-lesions-1.",
    ),
    "title": field(Charter, "title", needed=False, title="Title", description="What the custodians read first."),
    # The browser offers sites, workflows and models of this place (plugins/choices.py).
    "sites": Param(
        None,
        type=["null", "array"],
        items={"type": "string"},
        title="Sites",
        description="In the order of tables and sums. Empty: every site that has joined.",
    ),
    "rounds": field(Charter, "rounds", title="Rounds"),
    "learner": Param(
        {"name": "nnunet", "settings": {}},
        type="object",
        title="Learner",
        description="Empty settings are the paper's: 3d_fullres, 250 batches a round, learning rate 0.01.",
        section="Training",
    ),
    "workflow": Param(
        None,
        type=["null", "string"],
        title="Workflow",
        description="A published and reviewed learner. None: sites that need a review refuse.",
        section="Training",
    ),
    "data": Param(
        {"name": "ms", "channels": ["T1w", "FLAIR"], "labels": {"background": 0, "lesion": 1}},
        type="object",
        title="Data every case must have",
        section="Training",
    ),
    "strategy": Param(
        "fedavg",
        type="string",
        **choices(STRATEGIES, NAMES),
        title="Strategy",
        description="How one model is made of the updates, and what a site does differently in a round.",
        section="Training",
    ),
    "strategy_settings": Param(
        {},
        type="object",
        title="Parameters of the strategy",
        description='Empty: its defaults. Others: see the charter\'s specification, such as {"clip_norm": 10}.',
        section="Training",
    ),
    "precision": field(
        Charter,
        "precision",
        labels={"float32": "float32: whole weights", "delta16": "delta16: differences, half as many bytes"},
        title="Precision of updates",
        section="Training",
    ),
    "privacy": Param(
        None,
        type=["null", "object"],
        title="Noise on updates",
        description='Empty: none. Such as {"clip_norm": 1, "noise_multiplier": 2}, without local models to compare.',
        section="Training",
    ),
    "secure_aggregation": Param(
        None,
        type=["null", "object"],
        title="Secure aggregation",
        description="Empty: none. {}: the centre sees sums of updates only; needs 3 sites in every round, a strategy "
        "of means, and no local models to compare.",
        section="Training",
    ),
    "start_model": Param(
        None,
        type=["null", "string"],
        title="Start from a model",
        description="The result of an earlier federation. None: the first weights are drawn by the seed.",
        section="Training",
    ),
    "start": Param(
        None,
        type=["null", "object"],
        title="What that model lacks",
        description='Empty: new channels start at zero, other tensors are refused. Others: "mean" or "drawn", as in '
        '{"new_channels": "mean", "other_tensors": "drawn"}.',
        section="Training",
    ),
    "compare_with_local": field(
        Charter,
        "compare_with_local",
        title="Compare with local models",
        description="Each site also trains alone; all models are tested at all sites.",
        section="Training",
    ),
    "seed": field(Charter, "seed", title="Seed", section="Training"),
    "extra_rounds": field(
        Charter,
        "extra_rounds",
        title="Rounds that may be added after the end",
        description="Custodians accept them with the charter; later ones need a new charter.",
        section="Training",
    ),
    "best_round": Param(
        {"metric": None, "release": "last"},
        type="object",
        title="Best round",
        description='Which round is the result: "last" or "best" by a validation metric; the other is kept beside it.',
        section="Training",
    ),
    "early_stop": Param(
        None,
        type=["null", "object"],
        title="Early end",
        description='Empty: never. Such as {"patience": 10, "least_gain": 0.001}: after ten rounds without that gain.',
        section="Training",
    ),
    "quorum": Param(
        {"sites": 2, "share_of_cases": 0.5, "required": []},
        type="object",
        title="Quorum",
        description="What a round needs when its deadline passes.",
        section="When sites are silent",
    ),
    "deadlines": Param(
        {},
        type="object",
        title="Deadlines in seconds",
        description="answer_s, fingerprint_s, prepare_s, round_s, baseline_s, evaluation_s; empty: days, and for a "
        "round three times what its slowest site has needed.",
        section="When sites are silent",
    ),
    "patience_s": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Seconds the centre waits warm between two rounds",
        description="Empty: the variable konsil_patience_s, else the centre's setting. Each site sets its own.",
        section="When sites are silent",
    ),
}

DOC = """
### Run federation

**For** the central operator.

- **Goes in:** the form. It becomes the **charter** that every site's custodian accepts or refuses.
- **What happens:** sites answer and send statistics of their cohorts; the centre merges them into **one recipe** and
  the first weights. The rounds run in *Aggregate rounds*. Each site tests the models on its held-out patients.
- **Comes out:** the model, released to every site, and the report under the tab **Federation**.
- **Can go wrong:** the form breaks a rule (*Publish the charter* is red, nothing was published); too few sites accept
  (*Make one recipe* is red, with their reasons); too few answer a round. A silent site does not stop the others as long
  as the quorum holds; the report says who was missing.
- **What to do:** correct the form, or talk to the sites, and start again under a new name. To pause, exclude, extend or
  abort: the run's page in the tab **Federation**. Tasks that turn yellow are tried again by themselves.
"""

TASKS = {
    "publish_charter": "Checks the form against the charter's rules, signs it and publishes it. Red: the log names the "
    "field; nothing was published.",
    "wait_for_answers": "Waits for every custodian's answer and for the fingerprints, until the charter's deadlines. "
    "Costs no worker.",
    "recipe": "Merges the fingerprints into one recipe and publishes it with the first weights. Red: too few sites "
    "take part; their reasons stand there.",
    "start_rounds": "Starts the first stint of the rounds. A button under Details leads there.",
    "wait_for_rounds": "Waits for the last round. Costs no worker; the tab Federation shows how far the run is.",
    "share_local_models": "Passes the sites' local models on, if the charter asks for the comparison.",
    "wait_for_evaluation": "Waits until the sites have tested all models. Costs no worker.",
    "release": "Releases the model to every site and writes the report.",
}


@dag(
    dag_display_name="1 · Run federation",
    description="The centre's side of a federation",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    max_active_runs=10_000,  # Airflow's 16 would let a seventeenth federation wait for the others
    params=FORM,
    tags=["centre", "federation"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "central operator",
        "retries": 8,  # a quarter of an hour: longer than a store or a database is usually away
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
        "run_name": RUN,
        "patience_s": 0,
    },
)
def run_federation() -> None:
    publish_charter = PublishCharterOperator(
        task_id="publish_charter", task_display_name="Publish the charter", form="{{ params }}"
    )
    wait_for_answers = WaitOperator(
        task_id="wait_for_answers", task_display_name="Wait for answers and fingerprints", phase="recipe"
    )
    recipe = RunPhaseOperator(task_id="recipe", task_display_name="Make one recipe", until="recipe")
    start_rounds = StintOperator(
        task_id="start_rounds",
        task_display_name="Start the rounds",
        trigger_dag_id="aggregate_rounds",
        number=1,
        patience_s="{{ params.patience_s }}",
    )
    wait_for_rounds = WaitOperator(
        task_id="wait_for_rounds",
        task_display_name="Wait for the rounds",
        phase="evaluation",
        trigger_rule="none_failed",
    )
    share_local_models = RunPhaseOperator(
        task_id="share_local_models", task_display_name="Share the local models", until="evaluation"
    )
    wait_for_evaluation = WaitOperator(
        task_id="wait_for_evaluation", task_display_name="Wait for the evaluations", phase="release"
    )
    release = RunPhaseOperator(
        task_id="release", task_display_name="Release the model and report", until="release", last=True
    )
    publish_charter >> wait_for_answers >> recipe >> start_rounds >> wait_for_rounds
    wait_for_rounds >> share_local_models >> wait_for_evaluation >> release


explain(run_federation(), TASKS)
