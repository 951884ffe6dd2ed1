"""Pictures for the guides of what the walk does not pass by, and that what they show does what it says.

A centre and site A with real Airflows, site B by hand, and the instant learner: forms that offer what is there, the
centre's view of a run, the audit log, the doctor, a question about series (and who may answer it), and a charter with
nnU-Net's settings.
`KONSIL_IMAGES` names the folder; `make images` takes these after the walk's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, FrameLocator, Page
from pydicom.uid import generate_uid

from konsil.demo.people import question_for
from konsil.federation.steps import Abort, Finish
from konsil.learners import registry
from konsil.parties.opening import open_site
from konsil.phantom.hospital import write_hospital
from konsil.sdk.airflow import AirflowClient
from konsil.stack.accounts import passwords
from konsil.stack.places import CENTRE
from tests.e2e.rights import Town, cells, said
from tests.e2e.village import COHORT, LEARNER, Village, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.demo]

PILOT, ASKED = "ms-pilot", "ms-lesions-1"
SLOW_S = 600.0
NETWORK = {"patch_size": [32, 32, 32], "features_per_stage": [8, 16, 32], "n_conv_per_stage": 1, "batch_size": 2}
SETTINGS = {"batches_per_epoch": 100, "learning_rate": 0.01, "mirroring": False, "network": NETWORK}


@dataclass
class Visit:
    """A browser in the village, and where its pictures go."""

    village: Village
    page: Page
    images: Path

    def client(self, place: str, account: str) -> AirflowClient:
        """One of the people of a place."""
        there = self.village.place(place)
        return AirflowClient(there.url, account, passwords(there)[account], timeout_s=120)

    def open(self, place: str, account: str, path: str, wait_for: str) -> None:
        """Open a page as somebody, and wait until it can be read."""
        client = self.client(place, account)
        client.login()
        self.page.context.clear_cookies()
        self.page.context.add_cookies([{"name": "_token", "value": client._token, "url": f"{client.url}/"}])
        self.page.goto(f"{client.url}/{path}")
        self.page.get_by_text(wait_for).first.wait_for(timeout=SLOW_S * 1000)

    def form(self, place: str, account: str, dag_id: str, first: str) -> None:
        """Open the trigger form of a DAG, whose first field is named `first`."""
        self.open(place, account, f"dags/{dag_id}", "Trigger")
        self.page.get_by_role("button", name="Trigger").first.click()
        self.page.get_by_text(first).first.wait_for(timeout=SLOW_S * 1000)

    def keep(self, name: str) -> None:
        """Take the picture; icons and graphs arrive after the text."""
        self.page.wait_for_timeout(2000)
        self.page.screenshot(path=self.images / f"{name}.png")
        assert (self.images / f"{name}.png").stat().st_size > 20_000

    @property
    def tab(self) -> FrameLocator:
        """The page within a tab."""
        return self.page.frame_locator("iframe")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Visit]:
    village = Village(tmp_path_factory.mktemp("pictures"), ["A", "B"], by_hand=("B",), answers_s=120)
    images = Path(os.environ.get("KONSIL_IMAGES") or tmp_path_factory.mktemp("images"))
    registry.LEARNERS["instant"] = "instant_learner:Instant"
    sys.path.insert(0, str(LEARNER))
    page = browser.new_page(viewport={"width": 1360, "height": 850})
    page.set_default_timeout(SLOW_S * 1000)
    try:
        village.up()
        patient = {"round_s": 86400}  # B comes late on purpose; a round without it would end the run
        village.start(PILOT, rounds=3, title="MS lesions, a pilot of two hospitals", deadlines=patient)
        yield Visit(village, page, images)
    finally:
        page.close()
        village.down()
        sys.path.remove(str(LEARNER))
        del registry.LEARNERS["instant"]


def test_the_centre_sees_whose_turn_it_is(visit: Visit) -> None:
    for number in (1, 2):
        visit.village.bring_update("B", PILOT, number)
        visit.village.wait_for_round(PILOT, number, timeout_s=SLOW_S)
    visit.open(CENTRE, "operator", "plugin/federation", "Federation")
    visit.tab.get_by_role("link", name=PILOT).first.click()
    visit.tab.get_by_text("Waiting for the updates of B in round 3 of 3").wait_for()
    visit.tab.get_by_role("button", name="Pause…").wait_for()
    visit.keep("federation-centre")


def test_a_run_is_proposed_to_whoever_starts_a_site_by_hand(visit: Visit) -> None:
    visit.form("A", "custodian", "join_federation", "Name of the federation")
    offered = visit.page.locator("#list_run option").evaluate_all("all => all.map(one => one.value)")
    assert offered == [PILOT]
    visit.page.locator("#element_run").fill(PILOT)
    visit.keep("join-federation-form")


def test_sites_are_chosen_at_the_centre(visit: Visit) -> None:
    visit.form(CENTRE, "operator", "run_federation", "Name of the federation")
    for site in ("A", "B"):
        visit.page.locator("#element_sites").click()
        visit.page.get_by_role("option", name=site, exact=True).click()
    visit.page.locator("#element_run").fill(ASKED)
    visit.page.locator("#element_title").fill("MS lesions of two hospitals")
    visit.keep("run-federation-form")


def test_the_audit_log_is_read_in_the_tab(visit: Visit) -> None:
    visit.open("A", "custodian", "plugin/governance", "Governance")
    visit.tab.get_by_role("link", name="Read it").click()
    visit.tab.get_by_text("charter accepted").first.wait_for()
    visit.keep("audit-log")


def test_the_doctor_says_what_is_well(visit: Visit) -> None:
    staff = visit.client("A", "staff")
    run = staff.trigger("doctor", name="how-are-we")
    staff.wait("doctor", run, timeout_s=SLOW_S)
    visit.open("A", "staff", f"dags/doctor/runs/{run}/tasks/examine", "Logs")
    visit.page.get_by_text("The store answers").first.wait_for()  # no picture: the log begins with a path


def test_what_is_chosen_in_the_form_is_what_is_done(visit: Visit) -> None:
    visit.page.goto("about:blank")  # an open page asks for news all the time
    ended_by_hand(visit.village)
    visit.form("A", "staff", "predict", "Which of its rounds")
    visit.page.locator("#element_model").click()
    visit.page.get_by_role("option").first.wait_for()
    visit.keep("predict-form")
    visit.page.get_by_role("option", name=f"{PILOT} (MS lesions, a pilot of two hospitals; round 3 of 3)").click()
    visit.page.get_by_role("button", name="Trigger").last.click()
    staff = visit.client("A", "staff")
    eventually(lambda: bool(staff.runs("predict")), "the run", timeout_s=SLOW_S)
    ((run, _),) = staff.runs("predict")
    conf = staff.call("GET", f"dags/predict/dagRuns/{run}")["conf"]
    assert (conf["cohort"], conf["model"]) == (COHORT, PILOT)


def test_the_custodian_reads_settings_as_a_table(visit: Visit) -> None:
    form = {"run": ASKED, "title": "MS lesions of two hospitals", "sites": ["A", "B"], "rounds": 50}
    form |= {"learner": {"name": "nnunet", "settings": SETTINGS}}
    visit.client(CENTRE, "operator").trigger("run_federation", form)
    question_for(visit.client("A", "custodian"), "join_federation", timeout_s=SLOW_S)
    visit.open("A", "custodian", "required_actions", form["title"])
    visit.page.get_by_text(f"Take part in “{form['title']}”?").first.click()
    visit.page.get_by_text("What leaves this site").first.wait_for()
    visit.keep("charter")
    row = visit.page.get_by_role("row", name="network: patch size")
    assert row.inner_text().split("\t")[-1].strip() == "32 × 32 × 32"
    row.scroll_into_view_if_needed()
    visit.page.get_by_text("Days until a standing policy expires").scroll_into_view_if_needed()
    visit.keep("charter-decision")


def test_a_reviewer_is_asked_which_series(visit: Visit) -> None:
    home = visit.village.place("A").home
    write_hospital(
        home / "inbox", site="A", cases=1, seed=4, resolution_mm=5.0, faults={}, truth=home.parent / "truth.json"
    )
    repeat_t1w(home / "inbox")
    visit.client("A", "staff").trigger("prepare_cohort", {"cohort": "ms-2026"})
    question_for(visit.client("A", "reviewer"), "prepare_cohort", timeout_s=SLOW_S)
    visit.open("A", "reviewer", "required_actions", "Which series?")
    visit.page.get_by_text("Which series?").first.click()
    visit.page.get_by_text("equally good").first.wait_for()
    visit.keep("which-series")


def test_only_who_may_sign_a_cohort_may_choose_its_series(visit: Visit) -> None:
    (asked,) = visit.client("A", "reviewer").questions("prepare_cohort")
    town = Town(visit.village.place(CENTRE), visit.village.place("A"))
    row = [(who, may) for act, who, may in cells("**Who may what**") if act.startswith("choose series")]
    assert {who: said([town.answer(who, asked)]) for who, _ in row} == dict(row)


def ended_by_hand(village: Village) -> None:
    """Let site B do what is left of the pilot, until site A has stored its model; a run that was ended says why."""
    party = open_site(village.place("B").home, PILOT)

    def is_over() -> bool:
        step = party.step()
        assert not isinstance(step, Abort), step.why
        return isinstance(step, Finish)

    eventually(is_over, "the end at B", timeout_s=SLOW_S)
    village.wait_for_end(PILOT, SLOW_S)


def repeat_t1w(inbox: Path) -> None:
    """The T1w once more, as a second series, for which the patient lay a little differently."""
    series, made = generate_uid(), 0
    for path in [path for path in inbox.rglob("*") if path.is_file()]:
        image = pydicom.dcmread(path)
        if "T1" not in str(image.get("SeriesDescription", "")).upper():
            continue
        image.SeriesInstanceUID, image.SeriesNumber, image.AcquisitionTime = series, 8, "093511.000000"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.PixelData = np.roll(image.pixel_array, 2, axis=1).tobytes()
        made += 1
        image.save_as(path.with_name(f"again-{made:04d}.dcm"))
    assert made
