"""A federation for a data scientist: propose, launch, follow, results, cancel.

    centre = Federation.connect("http://127.0.0.1:8080/centre", "operator", password, home=Path("centre"))
    charter = centre.propose({"run": "ms-1", "sites": ["A", "B", "C"], "rounds": 50})
    centre.launch(charter)
    for progress in centre.follow("ms-1"):
        print(progress)
    centre.results("ms-1").dice

Starting goes through Airflow's REST API, as the operator's form does. What a run has come to lies in the bucket, which
only the centre's keys open: following round by round, results and cancelling need `home`, the centre's folder, here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from konsil.errors import BadInput, Missing, Unavailable
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.control import Action
from konsil.federation.mailbox import open_mailbox
from konsil.parties.report import current_summary
from konsil.parties.steering import steer
from konsil.sdk.airflow import ENDED, AirflowClient
from konsil.types import Json

if TYPE_CHECKING:
    import pandas as pd

DAG = "run_federation"


@dataclass(frozen=True)
class Progress:
    """How far a run is: Airflow's state, rounds done of those planned, the newest weighted mean of the metric."""

    state: str
    round: int
    planned: int
    metric: str = ""
    value: float | None = None
    sentence: str = ""

    def __str__(self) -> str:
        """One line for a terminal or a notebook."""
        figure = f", {self.metric} {self.value:.3f}" if self.value is not None else ""
        return f"{self.state}: round {self.round} of {self.planned}{figure}"


@dataclass(frozen=True)
class Results:
    """The figures of a run (`summary.json`; konsil.parties.summary describes it) as tables."""

    summary: Json

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per round and site: cases, steps, work_s, waited_s and every metric the site reported."""
        import pandas as pd

        rows = [
            {
                "round": row["round"],
                "site": site,
                **part,
                **part["metrics"],
            }
            for row in self.summary["rounds"]
            for site, part in row["sites"].items()
        ]
        return pd.DataFrame(rows).drop(columns="metrics", errors="ignore")

    @property
    def dice(self) -> pd.DataFrame:
        """Mean Dice on the test patients: one row per model, one column per site; empty where it is not defined."""
        import pandas as pd

        found = self.summary["dice"]
        alone = {f"{site} alone": scores for site, scores in found.get("local", {}).items()}
        table = {"federated": found.get("federated", {}), **alone}
        return pd.DataFrame.from_dict(table, orient="index", columns=None)

    def figure(self, metric: str = "loss") -> Any:
        """A matplotlib figure of a metric over the rounds, one line per site. BadInput for one nobody reported."""
        from matplotlib.figure import Figure

        table = self.rounds
        if metric not in table:
            parts = [part for row in self.summary["rounds"] for part in row["sites"].values()]
            known = sorted({name for part in parts for name in part["metrics"]})
            raise BadInput(
                "nobody reported this metric", expected=" or ".join(known) or "a run with rounds", got=metric
            )
        figure = Figure()
        axes = figure.add_subplot(xlabel="round", ylabel=metric, title=self.summary["run"])
        for site, rows in table.groupby("site"):
            axes.plot(rows["round"], rows[metric], marker="o", label=site)
        axes.legend()
        return figure


class Federation:
    """The centre, as a data scientist uses it."""

    def __init__(self, client: AirflowClient, home: Path | None = None) -> None:
        self.client, self._home = client, home
        self._dag_runs: dict[str, str] = {}

    @classmethod
    def connect(cls, url: str, username: str, password: str, *, home: Path | None = None) -> Federation:
        """Log in at the centre's Airflow. Refused for a wrong password, Unavailable where nobody answers."""
        client = AirflowClient(url, username, password)
        client.login()
        return cls(client, home)

    @property
    def home(self) -> Path:
        """The centre's folder; Missing if none was given."""
        if self._home is None:
            raise Missing("the centre's home was not given", hint="Federation.connect(..., home=...), or KONSIL_HOME")
        return self._home

    def propose(self, charter: Json) -> Charter:
        """The charter these fields make, checked by every rule; BadSetting names the first that is broken.

        Nothing is published; `what_leaves_the_site()` of the answer is what the custodians will read.
        """
        return parse_charter(charter)

    def launch(self, charter: Charter) -> str:
        """Start *Run federation* with a charter; gives the name of the DAG run, which is the federation's."""
        form = charter.model_dump(mode="json", exclude={"format"})
        if not isinstance(form["strategy"], str):
            settings = form["strategy"]
            form |= {"strategy": settings.pop("name"), "strategy_settings": settings}
        if charter.workflow is not None:
            form["workflow"] = charter.workflow.name
        return self.client.trigger(DAG, form, name=charter.run)

    def follow(self, run: str, *, poll_s: float = 2.0, timeout_s: float = 30 * 86400.0) -> Iterator[Progress]:
        """Give the progress whenever it changes, until the DAG run has ended. Unavailable after `timeout_s`."""
        deadline, last = time.monotonic() + timeout_s, None
        while last is None or last.state not in ENDED:
            now = self.progress(run)
            if now != last:
                yield now
                last = now
            elif time.monotonic() > deadline:
                raise Unavailable(f"{run} did not end within {timeout_s:.0f} s", got=str(now))
            else:
                time.sleep(poll_s)

    def progress(self, run: str) -> Progress:
        """How far a run is now, whether it was launched here or by the operator's form."""
        state = self.client.state(DAG, self._dag_run(run))
        try:
            summary = current_summary(open_mailbox(self.home, run))
        except Missing:  # no home, or the charter is not out yet
            return Progress(state, 0, 0)
        figures, done = summary["progress"]["figures"], len(summary["rounds"])
        name = summary["progress"]["metric"] or ""
        return Progress(state, done, summary["progress"]["planned"], name, figures.get(str(done)), summary["sentence"])

    def _dag_run(self, run: str) -> str:
        """The DAG run of a federation: `launch` gives it the federation's name, the form only writes that into it."""
        if run not in self._dag_runs:
            found = self.client.forms(DAG)
            named = [name for name, form in found.items() if form.get("run") == run]
            if run not in found and not named:
                return run  # not there yet: it is looked for again the next time
            self._dag_runs[run] = run if run in found else named[0]
        return self._dag_runs[run]

    def results(self, run: str) -> Results:
        """The figures so far, final ones once the run has ended. Missing where there is no such run."""
        return Results(current_summary(open_mailbox(self.home, run)))

    def cancel(self, run: str, *, why: str) -> None:
        """End a run for everybody, with a signed word; the sites stop after what they are doing."""
        steer(self.home, run, Action.ABORT, why=why)
