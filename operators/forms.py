"""Fields of a trigger form, made from the pydantic models that the library validates with.

A bound, a choice or a default stands in the model alone; the form adds the words that a person reads. What the form
cannot check (one field against another) is refused by the same model in the first task, before anything is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param
from pydantic import BaseModel

KEPT = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "maxLength", "enum")


def field(
    model: type[BaseModel],
    name: str,
    *,
    title: str,
    description: str = "",
    section: str | None = None,
    labels: Mapping[str, str] | None = None,
    needed: bool = True,
) -> Param:
    """The form field for one field of `model`, with its default, bounds and choices.

    `labels`: words for the choices. `needed=False` lets it be empty, which stands for the model's default.
    """
    schema = model.model_json_schema()["properties"][name]
    rules: dict[str, Any] = {key: schema[key] for key in KEPT if key in schema}
    if "pattern" in rules:
        rules["pattern"] = whole(rules["pattern"])
    if labels:
        rules["values_display"] = {choice: labels[choice] for choice in rules["enum"]}
    if not needed:
        rules["type"] = ["null", rules["type"]]
    default = schema.get("default") if needed else None
    extra: dict[str, Any] = {"description": description, "section": section}
    return Param(default, title=title, **rules, **{key: value for key, value in extra.items() if value})


def whole(pattern: str) -> str:
    """A regular expression that holds for all of a text wherever a form is checked.

    In Python's `re`, which Airflow asks, `$` also stands before a line end that closes the text; in pydantic's, and in
    a browser's, it does not. That no character follows, all of them understand alike.
    """
    return rf"^(?:{pattern.removeprefix('^').removesuffix('$')})(?![\s\S])"


def choices(labels: Mapping[str, str], known: tuple[str, ...]) -> dict[str, Any]:
    """`enum` and its words for names the library knows; a name without words shows itself."""
    return {"enum": list(known), "values_display": {name: labels.get(name, name) for name in known}}
