"""Which fields of which trigger forms offer what this place has.

`enum` becomes a list to choose from, `examples` proposals beside free typing (in a list of values: the list to choose
from). Airflow checks a run against the form in the DAG file, which knows neither: a script may name what a browser was
not offered, and the first task refuses in words what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from konsil.cohort.shelf import begun_cohorts, prepared_cohorts
from konsil.parties.offers import given_models, models, reviewed_workflows, sites, unfinished_runs
from konsil.types import Json


@dataclass(frozen=True)
class Choice:
    """One field: what is offered, whether the newest is proposed, and the sentence in place of an empty list."""

    of: Callable[[Path], dict[str, str]]
    rule: str = "enum"
    proposed: bool = False
    nothing: str = ""


NO_COHORT = "No cohort is prepared here yet: trigger Prepare cohort first."
NO_MODEL = "No model is stored here yet: one comes at the end of every federation that this site takes part in."

CHOICES: Mapping[str, Mapping[str, Choice]] = {
    "prepare_cohort": {"cohort": Choice(begun_cohorts, rule="examples")},
    "predict": {
        "cohort": Choice(prepared_cohorts, proposed=True, nothing=NO_COHORT),
        "model": Choice(models, proposed=True, nothing=NO_MODEL),
    },
    "join_federation": {"run": Choice(unfinished_runs, rule="examples")},
    "run_federation": {
        "sites": Choice(sites, rule="examples", nothing="No site has joined yet."),
        "workflow": Choice(reviewed_workflows, nothing="No reviewed workflow is published here."),
        "start_model": Choice(given_models, nothing="No model is stored here yet."),
    },
}


def with_choices(dag_id: str, params: Json, home: Path) -> Json:
    """The fields of a DAG's form, as Airflow's API gives them, with what this place offers."""
    filled = {
        name: offering(params[name], choice, choice.of(home))
        for name, choice in CHOICES.get(dag_id, {}).items()
        if name in params
    }
    return {**params, **filled}


def offering(param: Json, choice: Choice, found: Mapping[str, str]) -> Json:
    """One field with its choices; where nothing may stay chosen, that is one of them."""
    schema: dict[str, Any] = dict(param["schema"])
    if not found and choice.rule == "examples":
        return with_words(param, schema, choice.nothing)
    optional = "null" in schema.get("type", "") and choice.rule == "enum"
    schema[choice.rule] = [*([None] if optional else []), *found]
    schema["values_display"] = {**found, **({"null": "none"} if optional else {})}
    value = next(iter(found)) if choice.proposed and found and param.get("value") is None else param.get("value")
    return with_words({**param, "value": value}, schema, "" if found else choice.nothing)


def with_words(param: Json, schema: dict[str, Any], nothing: str) -> Json:
    """The field with its schema; `nothing` goes before its description."""
    text = " ".join(filter(None, (nothing, param.get("description") or schema.get("description"))))
    return {**param, "schema": schema, "description": text or None}
