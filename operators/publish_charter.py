"""From the centre's form to a published charter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from konsil.errors import KonsilError
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.strategies.choice import PLAIN
from konsil.files import write_json
from konsil.settings import Settings
from konsil.trust.roster import Roster
from konsil.types import Json
from operators.party import PartyOperator


class PublishCharterOperator(PartyOperator):
    """Check the form against the charter's rules, write the charter file and publish it.

    :param form: the fields of docs/formats/charter.md among others (templated); empty ones take the charter's defaults
        and no sites means all that have joined
    """

    template_fields = ("run_name", "patience_s", "until", "form")

    def __init__(self, *, form: Any, **kwargs: Any) -> None:
        super().__init__(until="charter", patience_s=0, **kwargs)
        self.form = form

    def path(self) -> Path:
        """The charter file of this run in the centre's home."""
        return Settings().home / "charters" / f"{self.run_name}.json"

    def arguments(self) -> list[str]:
        """The verb with the file and the phase."""
        return ["run", str(self.path()), *self.limits()]

    def charter(self) -> Charter:
        """The form as a charter, where the strategy and its parameters are one field, and a start names its hash."""
        fields = {name: self.form[name] for name in Charter.model_fields if self.form.get(name) is not None}
        if not fields.get("sites"):
            fields["sites"] = list(Roster.load(Settings().home).sites)
        if settings := self.form.get("strategy_settings"):
            fields["strategy"] = {**settings, "name": fields.get("strategy", PLAIN)}
        if model := self.form.get("start_model"):
            from konsil.parties.start import named_start  # numpy, not for the DAG file

            fields["start"] = {**fields.get("start", {}), **named_start(Settings().home, str(model))}
        return parse_charter(fields)

    def execute(self, context: Context) -> Json:
        """Write the file, run the verb, hand on the run's name. A form that makes no charter is not tried again."""
        try:
            charter = self.charter()
        except KonsilError as error:
            raise AirflowFailException(error.sentence) from None
        self.run_name = charter.run
        write_json(self.path(), charter.model_dump(mode="json"))
        return super().execute(context) | {"run": charter.run}
