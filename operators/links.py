"""The buttons at a task that open the page it is about.

Airflow 3 asks for the address in the worker when a try has ended or begins to wait for a person, and keeps it as an
XCom. So what lies in the home at that moment decides whether there is a page; without one there is no button. The pages
are those of the tabs, behind Airflow's own login (plugins/app.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.configuration import conf

from konsil.settings import Settings


class PageLink(BaseOperatorLink):
    """Opens a page of the tabs; a subclass says which."""

    name = "Page"

    def page(self, operator: Any, home: Path) -> str:
        """The address below `/konsil`; empty where there is no such page."""
        raise NotImplementedError

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The whole address, below the path prefix of this instance."""
        page = self.page(operator, Settings().home)
        base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
        return f"{base}/konsil/{page}" if page else ""


class CohortLink(PageLink):
    """The report of the task's `cohort`."""

    name = "Quality report"

    def page(self, operator: Any, home: Path) -> str:
        """Once the report is written."""
        return report_page(home, operator.cohort, "cohort")


class LesionLink(PageLink):
    """What a model found in the task's `cohort`."""

    name = "Lesion report"

    def page(self, operator: Any, home: Path) -> str:
        """Once the masks are drawn."""
        from konsil.learners.masks import file_name  # numpy, not for the DAG file
        from operators.predict import model_folder

        return report_page(home, operator.cohort, f"lesions-{file_name(model_folder(operator.model, operator.which))}")


class RunLink(PageLink):
    """The task's federation as it stands now."""

    name = "Federation"

    def page(self, operator: Any, home: Path) -> str:
        """Once this place knows the run."""
        return run_page(home, operator.run_name, "now.html")


class RunReportLink(PageLink):
    """The report of the task's federation."""

    name = "Federation report"

    def page(self, operator: Any, home: Path) -> str:
        """Once the run has ended."""
        return run_page(home, operator.run_name, "report.html", needs="report.html")


class CharterLink(PageLink):
    """The charter that the task is about, with what is different from the last one and what leaves."""

    name = "Charter"

    def page(self, operator: Any, home: Path) -> str:
        """Once the charter has arrived."""
        charter = getattr(operator, "charter", None)
        run = charter.get("run") if isinstance(charter, dict) else getattr(operator, "run_name", "")
        return f"governance/{run}/charter.html" if is_known(home, run) else ""


def report_page(home: Path, cohort: str, page: str) -> str:
    """The address of a page of a cohort, below `/konsil`; empty where it was not written."""
    there = (home / "cohorts" / cohort / "derivatives" / "konsil" / "reports" / f"{page}.html").is_file()
    return f"quality/{cohort}/{page}.html" if there else ""


def run_page(home: Path, run: Any, page: str, *, needs: str = ".") -> str:
    """The address of a page of a federation, below `/konsil`; empty while its folder lacks what the page needs."""
    return f"federation/{run}/{page}" if is_known(home, run) and (home / "runs" / run / needs).exists() else ""


def is_known(home: Path, run: Any) -> bool:
    """Whether this place has a folder of that run; an empty form field names none."""
    return isinstance(run, str) and run != "" and (home / "runs" / run).is_dir()
