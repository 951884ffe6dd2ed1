"""A hospital's login: FAB on PostgreSQL, chosen by one setting, with the roles of docs/airflow.md, asked over REST.

A centre and a site with an Airflow each, and another site that takes part by hand. Two questions wait at the site while
everybody tries everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests

from konsil.demo.people import answer, question_for, until
from konsil.errors import BadInput, Refused
from konsil.files import read_json
from konsil.learners import registry
from konsil.sdk.airflow import AirflowClient
from konsil.sdk.answers import Question
from konsil.stack import supervisor
from konsil.stack.accounts import passwords
from konsil.stack.login import FAB as FAB_LOGIN
from konsil.stack.people import make_roles, signed_in
from konsil.stack.places import CENTRE
from konsil.stack.roles import ROLES
from tests.e2e.postgres import Cluster, is_there
from tests.e2e.rights import FAB, Town, answers, cells, said
from tests.e2e.village import LEARNER, Village

pytestmark = [pytest.mark.e2e, pytest.mark.demo]

RUN, REASON = "first", "No vote of the ethics board yet"
TABLE = "**With a hospital's login**"


@dataclass
class House:
    """What the fixture saw."""

    village: Village
    statuses: dict[tuple[str, str], list[int]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if not is_there():
        pytest.fail("PostgreSQL is not installed: sh scripts/need_programs.sh")
    folder = tmp_path_factory.mktemp("fab")
    clusters = {name: Cluster() for name in (CENTRE, "A")}
    addresses = {name: cluster.start() for name, cluster in clusters.items()}
    village = Village(folder, ["A", "B"], by_hand=["B"], databases=addresses, login=FAB_LOGIN)
    registry.LEARNERS["instant"] = "instant_learner:Instant"
    sys.path.insert(0, str(LEARNER))
    try:
        village.up()
        yield House(village, statuses=answers(with_questions(village), FAB))
    finally:
        sys.path.remove(str(LEARNER))
        del registry.LEARNERS["instant"]
        village.down()
        for cluster in clusters.values():
            cluster.stop()
        assert supervisor.leftovers(village.plan) == []


def with_questions(village: Village) -> Town:
    """The two places, where a cohort waits to be signed and a charter to be decided on."""
    sites = ["A", "B"]
    form = {"run": RUN, "sites": sites, "rounds": 1, "learner": {"name": "instant", "settings": {}}}
    rules = {"quorum": {"sites": 2, "required": sites}, "compare_with_local": False}
    village.person(CENTRE, "operator").trigger("run_federation", {**form, **rules})
    village.answer_by_hand("B", RUN)
    sign_off = cohort_to_sign(village)
    charter = question_for(village.person("A", "custodian"), "join_federation", timeout_s=240)
    return Town(village.place(CENTRE), village.place("A"), sign_off, charter)


def cohort_to_sign(village: Village) -> Question:
    """A cohort whose report is there, so that the reviewer is asked; the inbox is empty, and nothing was prepared."""
    cohort = village.place("A").home / "cohorts" / "ms-2"
    image, page = "sub-a/ses-1/anat/sub-a_ses-1_T1w.nii.gz", "derivatives/konsil/reports/cohort.html"
    for path in (cohort / image, cohort / page):
        path.parent.mkdir(parents=True)
        path.write_text("the report")
    staff, admin = village.person("A", "staff"), village.admin("A")
    run = staff.trigger("prepare_cohort", {"cohort": "ms-2"})
    assert staff.wait("prepare_cohort", run, timeout_s=240) == "failed"
    report = next(task for task in staff.tasks("prepare_cohort", run) if task.task_id == "report")
    admin.set_state("prepare_cohort", run, report, "success")
    again = {"dag_run_id": run, "task_ids": ["sign_off"], "dry_run": False, "only_failed": False}
    admin.call("POST", "dags/prepare_cohort/clearTaskInstances", again)
    found = until(lambda: admin.questions("prepare_cohort", run) or None, what="the question", timeout_s=240)
    return found[0]


@pytest.mark.parametrize(("act", "who", "may"), cells(TABLE))
def test_airflow_lets_people_do_what_the_table_says(house: House, act: str, who: str, may: bool) -> None:
    assert said(house.statuses[act, who]) is may, house.statuses[act, who]


def test_the_table_names_every_act_that_was_tried(house: House) -> None:
    assert {(act, who) for act, who, _ in cells(TABLE)} == set(house.statuses)


def test_the_custodians_answer_is_taken_in_their_name_and_reaches_the_centre(house: House) -> None:
    """FAB knows accounts by numbers; who may answer is a list of names."""
    village = house.village
    custodian = village.person("A", "custodian")
    answer(custodian, "join_federation", "Refuse", {"reason": REASON}, timeout_s=120)
    operator = village.person(CENTRE, "operator")
    ((centre_run, _),) = operator.runs("run_federation")
    assert operator.wait("run_federation", centre_run, timeout_s=240) == "failed"
    assert any(
        line.endswith(f"A does not take part: {REASON}")
        for line in operator.log("run_federation", centre_run, "recipe")
    )
    decision = read_json(village.place("A").home / "runs" / RUN / "decision.json")
    assert (decision["accepted"], decision["by"]) == (False, "custodian")


def test_the_role_of_a_reviewer_alone_signs_nothing(house: House) -> None:
    """Who may answer is named besides (KONSIL_REVIEWERS)."""
    place, name, password = house.village.place("A"), "newcomer", "a-password-of-a-newcomer"
    person = {"username": name, "password": password, "roles": [{"name": ROLES["reviewer"]}]}
    person |= {"first_name": "New", "last_name": "Comer", "email": "newcomer@localhost"}
    with signed_in(place.url, "admin", passwords(place)["admin"]) as airflow:
        airflow.done("POST", "auth/fab/v1/users", person)
    newcomer = AirflowClient(place.url, name, password, timeout_s=120)
    (asked,) = newcomer.questions("prepare_cohort")
    wrong = {"chosen_options": ["Nothing of the kind"], "params_input": {}}
    with pytest.raises(Refused, match="newcomer may not do this"):
        newcomer.call("PATCH", f"{asked.path}/hitlDetails", wrong)
    with pytest.raises(BadInput):
        house.village.person("A", "reviewer").call("PATCH", f"{asked.path}/hitlDetails", wrong)


def test_a_role_that_somebody_widened_is_put_right_by_one_command(house: House) -> None:
    place = house.village.place("A")
    name = ROLES["reviewer"]
    with signed_in(place.url, "admin", passwords(place)["admin"]) as airflow:
        before = airflow.done("GET", f"auth/fab/v1/roles/{name}")
        wider = [*before["actions"], {"action": {"name": "can_edit"}, "resource": {"name": "XComs"}}]
        airflow.done("PATCH", f"auth/fab/v1/roles/{name}", {"name": name, "actions": wider})
        assert len(airflow.done("GET", f"auth/fab/v1/roles/{name}")["actions"]) == len(before["actions"]) + 1
        assert make_roles(airflow) == list(ROLES.values())
        after = airflow.done("GET", f"auth/fab/v1/roles/{name}")["actions"]
    assert sorted(map(str, after)) == sorted(map(str, before["actions"]))


def test_only_an_admin_makes_roles(house: House) -> None:
    place = house.village.place(CENTRE)
    with (
        signed_in(place.url, "operator", passwords(place)["operator"]) as airflow,
        pytest.raises(Refused, match="Admin"),
    ):
        make_roles(airflow)


def test_a_wrong_password_is_refused(house: House) -> None:
    login = {"username": "custodian", "password": "guess"}
    assert requests.post(f"{house.village.place('A').url}/auth/token", json=login, timeout=30).status_code == 401
