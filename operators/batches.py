"""Cutting a cohort into batches: one mapped task group each, so that cores can share the work."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator, Context


class BatchOperator(BaseOperator):
    """Give the found cases in lists of at most `size`, in their order.

    :param cases: names of the cases, normally the result of the scan (templated)
    :param size: cases in one batch (templated)
    """

    template_fields = ("cases", "size")
    ui_color = "#eef0f4"

    def __init__(self, *, cases: Any, size: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cases = cases
        self.size = size

    def execute(self, context: Context) -> list[list[str]]:
        """Cut the list."""
        size = max(1, int(self.size))
        names = [str(case) for case in self.cases]
        return [names[start : start + size] for start in range(0, len(names), size)]
