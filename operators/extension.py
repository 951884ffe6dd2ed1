"""Which runs go on after their end, as the watcher of this place has seen them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from konsil.settings import Settings
from konsil.trust.membership import membership
from konsil.trust.roster import CENTRE


class ExtensionsOperator(BaseOperator):
    """Tell what each extension's first stint is to be started with; skip where none was announced.

    Airflow merges events that come together into one DAG run, so there may be several.
    """

    ui_color = "#e7f0ee"

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Arguments of `StintOperator`, one row per extension."""
        events = context.get("triggering_asset_events") or {}
        said = [event.extra.get("payload", {}) for each in events.values() for event in each]
        found = dict.fromkeys((str(word["run"]), int(word["after"])) for word in said if "after" in word)
        if not found:
            raise AirflowSkipException("No extension was announced.")
        dag_id = "aggregate_rounds" if membership(Settings().home).me == CENTRE else "train_rounds"
        return [{"run_name": run, "after": after, "trigger_dag_id": dag_id} for run, after in found]
