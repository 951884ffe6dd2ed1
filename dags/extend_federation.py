"""A run that goes on after its end: the operator has extended it, and this place takes up its part again."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetWatcher, dag

from operators.explain import explain
from operators.extension import ExtensionsOperator
from operators.stint import StintOperator
from operators.triggers import ExtensionTrigger

EXTENSIONS = Asset("konsil_extensions", watchers=[AssetWatcher(name="control", trigger=ExtensionTrigger(poll_s=5.0))])

DOC = """
### Extend federation

**For** the central operator, to look at: it starts by itself, at every place, when a run was extended after its end
(*More rounds…* in the tab **Federation**, or `konsil steer extend`).

- **Goes in:** the operator's signed word, as far as the charter that the custodians accepted allows.
- **Comes out:** stints of *Train rounds* (at a site) or *Aggregate rounds* (at the centre), which do the additional
  rounds and the tests after them, and store the model.
- **Can go wrong:** the store is away: it is tried again for a quarter of an hour.
- **What to do:** nothing. A site that does not want more rounds leaves the run.
"""

TASKS = {
    "extensions": "Reads which runs go on, and after which round.",
    "start_rounds": "Starts the stints that do the new rounds and all that follows.",
}


@dag(
    dag_display_name="6 · Extend federation",
    description="Take up a run that was extended",
    doc_md=DOC,
    schedule=[EXTENSIONS],
    catchup=False,
    max_active_runs=10_000,
    tags=["site", "centre", "federation"],
    render_template_as_native_obj=True,
    default_args={
        "owner": "central operator",
        "retries": 8,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
    },
)
def extend_federation() -> None:
    found = ExtensionsOperator(task_id="extensions", task_display_name="What was extended")
    StintOperator.partial(
        task_id="start_rounds", task_display_name="Start the rounds", number=1, until="release"
    ).expand_kwargs(found.output)


explain(extend_federation(), TASKS)
