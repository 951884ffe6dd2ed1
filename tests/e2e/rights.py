"""Who may do what, asked of a running Airflow over its REST API and its tabs, act by act.

An act is tried so that nothing comes of it: a question is answered with an option it has not, a form is sent with a
value it refuses, clearing is a dry run, a word carries a reason that cannot be said. Who may gets as far as that
sentence (400, 404, 409, 422) or a success; who may not is turned away before (401 without an account or a login, 403).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from pathlib import Path

import requests

from konsil.sdk.airflow import AirflowClient
from konsil.sdk.answers import Question
from konsil.stack.accounts import passwords
from konsil.stack.places import Place
from konsil.types import Json

GUIDE = Path(__file__).parents[2] / "docs" / "airflow.md"
OURS = {"X-Konsil-Word": "1", "X-Konsil-Review": "1", "Sec-Fetch-Site": "same-origin"}
REFUSED = (401, 403)
UNUSABLE = "a\nb"
"""A reason that no word takes: it has two lines."""
ACCOUNTS = ("staff", "reviewer", "custodian", "operator", "admin")


def cells(table: str) -> list[tuple[str, str, bool]]:
    """(act, account, whether) of every cell of the table that follows the words `table` in docs/airflow.md."""
    lines = GUIDE.read_text().split(table)[1].splitlines()
    rows = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))
    head, _, *body = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [(row[0], who, word == "yes") for row in body for who, word in zip(head[1:], row[1:], strict=True)]


@dataclass
class Town:
    """A centre and a site with the questions that wait there; `asked` keeps every answer that was given."""

    centre: Place
    site: Place
    sign_off: Question | None = None
    charter: Question | None = None
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def ask(self, place: Place, who: str, method: str, path: str, content: Json | None = None) -> int:
        """The status of a request of an account at a place; 401 for an account that is not there."""
        if who not in passwords(place):
            return 401
        if (place.name, who) not in self.tokens:
            client = AirflowClient(place.url, who, passwords(place)[who])
            client.login()
            self.tokens[place.name, who] = client._token
        header = OURS | {"Authorization": f"Bearer {self.tokens[place.name, who]}"}
        return requests.request(method, f"{place.url}/{path}", json=content, headers=header, timeout=60).status_code

    def at_site(self, who: str, method: str, path: str, content: Json | None = None) -> int:
        return self.ask(self.site, who, method, path, content)

    def at_centre(self, who: str, method: str, path: str, content: Json | None = None) -> int:
        return self.ask(self.centre, who, method, path, content)

    def home_of(self, who: str) -> Place:
        """Where an account lives; the admin is asked at the site."""
        return self.centre if who == "operator" else self.site

    def answer(self, who: str, question: Question | None) -> int:
        """Answer a question with an option that it has not."""
        assert question is not None
        content: Json = {"chosen_options": ["Nothing of the kind"], "params_input": {}}
        return self.at_site(who, "PATCH", f"api/v2/{question.path}/hitlDetails", content)


Act = Callable[[Town, str], list[int]]
CLEAR: Json = {"dry_run": True, "only_failed": False}


def see(town: Town, who: str) -> list[int]:
    """DAGs, runs, and the tabs; at the place of the account."""
    place = town.home_of(who)
    dag_id = "run_federation" if place.is_centre else "join_federation"
    paths = ("api/v2/dags", f"api/v2/dags/{dag_id}/dagRuns", f"api/v2/dags/{dag_id}/dagRuns/~/taskInstances")
    tabs = ("api/v2/plugins", "konsil/quality", "konsil/federation", "konsil/governance")
    return [town.ask(place, who, "GET", path) for path in (*paths, *tabs)]


def start(*dag_ids: str, centre: bool = False) -> Act:
    """Send forms with a value that they refuse; a form without fields names a run that cannot be one."""

    def act(town: Town, who: str) -> list[int]:
        ask = town.at_centre if centre else town.at_site
        wrong: Json = {"logical_date": "nonsense", "conf": {}}
        return [ask(who, "POST", f"api/v2/dags/{dag_id}/dagRuns", wrong) for dag_id in dag_ids]

    return act


def clear(*dag_ids: str, centre: bool = False) -> Act:
    """Try what clearing would do, and stop a task of a run that is not there."""

    def act(town: Town, who: str) -> list[int]:
        ask, found = (town.at_centre if centre else town.at_site), []
        for dag_id in dag_ids:
            found.append(ask(who, "POST", f"api/v2/dags/{dag_id}/clearTaskInstances", CLEAR))
            path = f"api/v2/dags/{dag_id}/dagRuns/none/taskInstances/none"
            found.append(ask(who, "PATCH", path, {"new_state": "failed"}))
        return found

    return act


def pause(*dag_ids: str, centre: bool = False) -> Act:
    """Unpause what is not paused."""

    def act(town: Town, who: str) -> list[int]:
        ask = town.at_centre if centre else town.at_site
        return [ask(who, "PATCH", f"api/v2/dags/{dag_id}", {"is_paused": False}) for dag_id in dag_ids]

    return act


def sign_off(town: Town, who: str) -> list[int]:
    """Answer the reviewer's question."""
    return [town.answer(who, town.sign_off)]


def judge_cases(town: Town, who: str) -> list[int]:
    """Decide on a case in the tab."""
    assert town.sign_off is not None
    cohort = town.sign_off.subject.split()[-1]
    return [town.at_site(who, "POST", f"konsil/quality/{cohort}/review", {"case": "none"})]


def decide(town: Town, who: str) -> list[int]:
    """Answer the custodian's question, and end a policy that is not there."""
    revoked = town.at_site(who, "POST", "konsil/governance/policies/none/revoke", {"why": "x"})
    return [town.answer(who, town.charter), revoked]


def say(word: str, *, centre: bool) -> Act:
    """Say a word to the run that waits, with a reason that cannot be said."""

    def act(town: Town, who: str) -> list[int]:
        assert town.charter is not None
        run = town.charter.body.split("for the run `")[1].split("`")[0]
        content: Json = {"word": word, "why": UNUSABLE, "site": town.site.name, "rounds": 1}
        return [(town.at_centre if centre else town.at_site)(who, "POST", f"konsil/federation/{run}/words", content)]

    return act


def belongings(town: Town, who: str) -> list[int]:
    """Look at connections and variables, and delete one that is not there."""
    place = town.home_of(who)
    paths = ("GET connections", "GET variables", "DELETE variables/none", "DELETE connections/none")
    return [town.ask(place, who, *f"{one.replace(' ', ' api/v2/')}".split()) for one in paths]


def pools(town: Town, who: str) -> list[int]:
    """Delete a pool that is not there."""
    return [town.ask(town.home_of(who), who, "DELETE", "api/v2/pools/none")]


def write_xcoms(town: Town, who: str) -> list[int]:
    """Write the result of a task of every DAG of a run that is not there, as one that pretends an answer would."""
    dag_ids = CENTRES if who == "operator" else (*OWN, *ROUNDS, "join_federation")
    path, content = (
        "dagRuns/none/taskInstances/approve/xcomEntries",
        {"key": "return_value", "value": {"accepted": True}},
    )
    return [town.ask(town.home_of(who), who, "POST", f"api/v2/dags/{dag_id}/{path}", content) for dag_id in dag_ids]


def both(*acts: Act) -> Act:
    """Several acts as one."""
    return lambda town, who: [status for act in acts for status in act(town, who)]


OWN = ("prepare_cohort", "predict", "doctor")
ROUNDS = ("train_rounds", "extend_federation")
CENTRES = ("run_federation", "aggregate_rounds", "extend_federation")

SIMPLE: Mapping[str, Act] = {
    "see DAGs, runs, logs and tabs": see,
    "start a DAG by its form": lambda town, who: (
        start("run_federation", centre=True) if who == "operator" else start(*OWN, "join_federation")
    )(town, who),
    "clear, stop or mark a task": lambda town, who: (
        clear("run_federation", centre=True) if who == "operator" else clear(*OWN, "join_federation")
    )(town, who),
    "pause a DAG": lambda town, who: (
        pause("run_federation", centre=True) if who == "operator" else pause(*OWN, "join_federation")
    )(town, who),
    "choose series, sign a cohort off": both(sign_off, judge_cases),
    "decide on a charter, sign a policy": decide,
    "leave a federation": say("leave", centre=False),
    "steer a federation (centre)": both(*(say(word, centre=True) for word in ("pause", "exclude", "extend", "abort"))),
    "see or change connections, variables": belongings,
    "change pools": pools,
}
"""The table of a place of `konsil stack` with SimpleAuthManager."""

FAB: Mapping[str, Act] = {
    "see DAGs, runs, logs and tabs": see,
    "start, clear or stop *Prepare cohort*, *Predict lesions*, *Doctor*": both(start(*OWN), clear(*OWN)),
    "choose series, sign a cohort off": both(sign_off, judge_cases),
    "start, clear or stop *Join federation*": both(start("join_federation"), clear("join_federation")),
    "decide on a charter, sign or end a policy, leave": both(decide, say("leave", centre=False)),
    "pause a site's part in the tab": say("hold", centre=False),
    "clear or stop *Train rounds*, *Extend federation* (site)": clear(*ROUNDS),
    "start, clear or stop the DAGs of the centre": both(start(*CENTRES, centre=True), clear(*CENTRES, centre=True)),
    "pause, extend, exclude, abort a federation": SIMPLE["steer a federation (centre)"],
    "see or change connections, variables": belongings,
    "change pools": pools,
    "write XComs": write_xcoms,
}
"""The table of a hospital with FAB."""


def answers(town: Town, acts: Mapping[str, Act]) -> dict[tuple[str, str], list[int]]:
    """The statuses of every act by every account."""
    return {(act, who): tried(town, who) for act, tried in acts.items() for who in ACCOUNTS}


def said(statuses: list[int]) -> bool | None:
    """Whether these statuses mean yes or no; None where they contradict one another or the server failed."""
    refused = [status in REFUSED for status in statuses]
    if any(status >= 500 for status in statuses) or len(set(refused)) != 1:
        return None
    return not refused[0]
