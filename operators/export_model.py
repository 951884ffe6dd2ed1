"""The step `konsil export-model` as an Airflow task."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from konsil.settings import Settings
from operators.base import KonsilOperator
from operators.predict import model_folder


class ExportModelOperator(KonsilOperator):
    """Write a stored model as a zip for nnU-Net, `<home>/exports/<model>[-<which>].zip`; skipped unless wanted.

    :param model: name of the federation whose model it is (templated)
    :param which: "result", "best" or "last" (templated)
    :param wanted: "True" if the person asked for it (templated)
    """

    template_fields = ("model", "which", "wanted")

    def __init__(self, *, model: str, which: str = "result", wanted: str = "True", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.which = which
        self.wanted = wanted

    def arguments(self) -> list[str]:
        """The verb with the model's folder and the new file."""
        if self.wanted != "True":
            raise AirflowSkipException("Nobody asked for an export.")
        folder = model_folder(self.model, self.which)
        name = self.model if self.which == "result" else f"{self.model}-{self.which}"
        return ["export-model", str(folder), str(Settings().home / "exports" / f"{name}.zip"), "--replace"]
