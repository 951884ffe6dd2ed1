"""The step `konsil predict` as an Airflow task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from konsil.errors import BadInput
from konsil.settings import Settings
from operators.base import KonsilOperator
from operators.links import LesionLink

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")
ROUNDS = {"result": "", "best": "best", "last": "last"}


def model_folder(model: str, which: str) -> Path:
    """The folder of a stored model; BadInput for what can be no name. The result may itself be the best or the last."""
    if not MODEL_NAME.fullmatch(model):
        raise BadInput("this cannot be the name of a model", expected="the name of a federation", got=repr(model))
    if which not in ROUNDS:
        raise BadInput("there is no such round of a model", expected=" or ".join(ROUNDS), got=repr(which))
    folder = Settings().home / "models" / model
    return folder / ROUNDS[which] if (folder / ROUNDS[which]).is_dir() else folder


class PredictOperator(KonsilOperator):
    """Draw lesion masks for a cohort with a model that this site stored.

    :param cohort: name of the cohort (templated)
    :param model: name of the federation whose model is used (templated)
    :param which: "result", or "best" or "last" where that round is another one (templated)
    """

    template_fields = ("cohort", "model", "which")
    operator_extra_links = (LesionLink(),)

    def __init__(self, *, cohort: str, model: str, which: str = "result", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cohort = cohort
        self.model = model
        self.which = which

    def arguments(self) -> list[str]:
        """The verb with the model's folder."""
        return ["predict", self.cohort, "--model", str(model_folder(self.model, self.which))]
