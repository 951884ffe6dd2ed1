"""The pages in a real browser: walked by keyboard, decided on from a disk and in the tab, seen in three planes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, write_volume
from konsil.files import write_json
from konsil.quality.report import report
from konsil.quality.review import read_reviews
from tests.plugins.stage import PILOT, Town
from tests.plugins.visitors import SCRIPT

pytestmark = pytest.mark.e2e

VERDICTS = {"a": "pass", "b": "fail", "c": "warn"}
IN_ORDER = ["sub-b_ses-1", "sub-c_ses-1", "sub-a_ses-1"]


def measured(verdict: str, value: float) -> dict[str, Any]:
    line = {
        "title": "Spike", "image": "T1w", "value": value, "text": "", "unit": "", "better": "lower", "note": "",
        "limits": {"warn_above": 3.0}, "verdict": verdict,
    }  # fmt: skip
    return {
        "verdict": verdict, "reasons": [] if verdict == "pass" else ["It looks odd."], "failures": verdict == "fail",
        "measures": {"t1w_spike_score": line}, "limits": {"profile": "wide", "voxel_mm": 1.0}, "Software": {},
    }  # fmt: skip


@pytest.fixture
def cohort(tmp_path: Path) -> CohortFolder:
    """Three cases; the images are a block with a brighter block in it."""
    folder = SiteFolder(tmp_path).cohort("ms-1")
    head = np.zeros((16, 16, 16), np.float32)
    head[3:13, 3:13, 3:13] = 100
    head[6:9, 6:9, 6:9] = 200
    for number, (subject, verdict) in enumerate(VERDICTS.items()):
        case = Case(subject, "1")
        for suffix in ("T1w", "FLAIR"):
            write_volume(folder.raw(case, suffix), Volume(head, np.eye(4)))
            write_volume(folder.oriented(case, suffix), Volume(head, np.eye(4)))
        write_volume(folder.lesions(case), Volume((head > 150).astype(np.uint8), np.eye(4)))
        write_json(folder.qc(case), measured(verdict, float(number)))
    assert report(folder).exit_code == 0
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose every complaint fails the test: a script error, or something its policy forbids."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert complaints == []


class Reviewer:
    def get_name(self) -> str:
        return "reviewer"


class Manager:
    def is_authorized_dag(self, **asked: Any) -> bool:
        return True

    def is_authorized_hitl_task(self, **asked: Any) -> bool:
        return True


@pytest.fixture
def address(cohort: CohortFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The plugin's application with that cohort, to a reviewer."""
    with serving(cohort.site.home, monkeypatch) as found:
        yield found


@contextmanager
def serving(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The plugin's application, served below /konsil as Airflow does."""
    import uvicorn
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import FastAPI

    from plugins import reviews
    from plugins.app import build

    monkeypatch.setenv("KONSIL_HOME", str(home))
    monkeypatch.setattr(reviews, "get_auth_manager", Manager)
    app, outer = build(), FastAPI()
    app.dependency_overrides[get_user] = Reviewer
    outer.mount("/konsil", app)
    server = uvicorn.Server(uvicorn.Config(outer, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/konsil"
    server.should_exit = True
    thread.join()


def rows(page: Page) -> list[str]:
    return page.locator("#cases tbody tr").evaluate_all("rows => rows.map((row) => row.dataset.case)")


def kept(page: Page, words: str) -> None:
    page.locator("#state").get_by_text(words).wait_for()


def test_the_table_is_sorted_by_its_headings(page: Page, cohort: CohortFolder) -> None:
    page.goto((cohort.reports / "cohort.html").as_uri())
    assert rows(page) == IN_ORDER
    page.get_by_role("button", name="Case", exact=True).click()
    assert rows(page) == sorted(IN_ORDER)
    page.get_by_role("button", name="Case", exact=True).click()
    assert rows(page) == sorted(IN_ORDER, reverse=True)
    page.get_by_role("button", name="Verdict").click()
    assert rows(page) == IN_ORDER


def test_keys_lead_from_the_table_through_the_cases_and_back(page: Page, cohort: CohortFolder) -> None:
    page.goto((cohort.reports / "cohort.html").as_uri())
    for key in ("j", "j", "k", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/sub-b_ses-1.html*")
    for key, name in (("j", IN_ORDER[1]), ("ArrowRight", IN_ORDER[2]), ("k", IN_ORDER[1]), ("c", "cohort")):
        page.keyboard.press(key)
        page.wait_for_url(f"**/{name}.html*")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()


def test_a_mark_on_a_strip_leads_to_its_case(page: Page, cohort: CohortFolder) -> None:
    page.goto((cohort.reports / "cohort.html").as_uri())
    page.locator(".strip a").filter(has_text="sub-c_ses-1: 2").click()
    page.wait_for_url("**/sub-c_ses-1.html*")


def test_from_a_disk_decisions_become_lines_for_the_sign_off(page: Page, cohort: CohortFolder) -> None:
    page.goto((cohort.reports / "cohort.html").as_uri())
    page.keyboard.press("j")
    page.keyboard.press("a")
    assert "although the verdict is fail" in page.locator("#why-title").inner_text()
    page.locator("#why-note").fill("the spike lies in the air")
    page.keyboard.press("Enter")
    kept(page, "the spike lies in the air")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sub-b_ses-1.html*")
    page.keyboard.press("j")
    page.wait_for_url("**/sub-c_ses-1.html*")
    page.keyboard.press("e")
    page.get_by_label("Coil failure").check()
    page.get_by_role("button", name="Save (Enter)").click()
    kept(page, "Coil failure")
    page.keyboard.press("c")
    page.wait_for_url("**/cohort.html*")
    assert page.locator("#typed-exclude").input_value() == "sub-c_ses-1: Coil failure"
    assert page.locator("#typed-accept").input_value() == "sub-b_ses-1: the spike lies in the air"
    assert read_reviews(cohort) == {}, "nobody was there to keep them"


def test_an_exclusion_without_a_reason_is_asked_again(page: Page, cohort: CohortFolder) -> None:
    page.goto(cohort.report(Case("a", "1")).as_uri())
    page.keyboard.press("e")
    page.get_by_role("button", name="Save (Enter)").click()
    assert page.locator("#why-problem").inner_text() == "A reason is needed."
    page.keyboard.press("Escape")
    assert page.locator("#state").inner_text() == ""


def test_in_the_tab_decisions_are_kept_and_taken_back(page: Page, cohort: CohortFolder, address: str) -> None:
    page.goto(f"{address}/quality/ms-1/sub-a_ses-1.html")
    page.locator("#accept:enabled").wait_for()
    page.keyboard.press("a")
    kept(page, "accepted")
    assert read_reviews(cohort)["sub-a_ses-1"].by == "reviewer"
    page.keyboard.press("c")
    page.locator("tr[data-case=sub-a_ses-1] b.accept").wait_for()
    kept(page, "1 of 3 decided")
    assert page.locator("#typed").is_hidden()
    page.locator("tr[data-case=sub-a_ses-1] td").nth(3).click()
    page.keyboard.press("u")
    page.locator("tr[data-case=sub-a_ses-1] b.accept").wait_for(state="detached")
    assert read_reviews(cohort) == {}


def test_wicked_texts_stay_texts_wherever_a_reviewer_meets_them(page: Page, cohort: CohortFolder, address: str) -> None:
    """What a scanner wrote into a header, why a case was set aside, and a reason that somebody types."""
    case = Case("a", "1")
    write_json(sidecar(cohort.raw(case, "T1w")), {"Manufacturer": SCRIPT, "ManufacturersModelName": SCRIPT})
    write_json(cohort.qc(case), measured("warn", 1.0) | {"reasons": [f"Comment of the patient: {SCRIPT}"]})
    cohort.set_aside(Case("d", "1"), "scan", f"Series {SCRIPT} cannot be told.")
    assert report(cohort).exit_code == 0
    page.on("dialog", lambda dialog: pytest.fail("a script of somebody else ran"))
    page.goto(f"{address}/quality/ms-1/sub-a_ses-1.html")
    page.locator("#accept:enabled").wait_for()
    assert page.locator("body").inner_text().count("<script>alert(1)") >= 2
    page.keyboard.press("e")
    page.get_by_label("Note").fill(SCRIPT)
    page.keyboard.press("Enter")
    kept(page, "excluded")
    assert read_reviews(cohort)[str(case)].note == SCRIPT
    page.goto(f"{address}/quality/ms-1/cohort.html")
    page.locator(f"tr[data-case={case}] b.exclude").wait_for()
    assert "Series <script>alert(1)" in page.locator("body").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_cases_are_sifted_by_verdict_decision_and_words(page: Page, address: str) -> None:
    def shown() -> list[str]:
        visible = page.locator("#cases tbody tr:not([hidden])")
        return [str(name) for name in visible.evaluate_all("rows => rows.map((row) => row.dataset.case)")]

    page.goto(f"{address}/quality/ms-1/cohort.html")
    page.locator("#state", has_text="0 of 3 decided").wait_for()
    page.get_by_role("button", name="warn 1").click()
    assert shown() == ["sub-c_ses-1"]
    page.keyboard.press("j")
    assert page.locator("#chosen").inner_text() == "sub-c_ses-1", "only what is shown is walked through"
    page.keyboard.press("a")
    kept(page, "accepted")
    page.get_by_role("button", name="all 3").click()
    page.get_by_label("not decided yet").check()
    assert shown() == ["sub-b_ses-1", "sub-a_ses-1"]
    page.get_by_label("Search").fill("sub-A")
    assert shown() == ["sub-a_ses-1"]
    assert page.locator("#sifted").inner_text() == "1 of 3 shown"


def test_a_run_is_paused_and_goes_on_in_its_tab(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's own script asks, posts and draws anew; its policy lets nothing else run."""
    from plugins import access

    monkeypatch.setattr(access, "get_auth_manager", Manager)
    town = Town(tmp_path / "town", sites=("A", "B"))
    town.propose(PILOT, title="<b onmouseover=alert(1)>Pilot</b>", rounds=3)
    for site in "AB":
        town.decide(PILOT, site)
    town.rounds(PILOT, 1, *"AB")
    with serving(town.home("centre"), monkeypatch) as address:
        page.goto(f"{address}/federation")
        page.get_by_role("link", name=PILOT).click()
        page.get_by_role("heading", name="<b onmouseover=alert(1)>Pilot</b>").wait_for()
        assert page.locator("#curves svg.chart").count() == 2
        page.get_by_role("button", name="Pause…").click()
        page.get_by_label("Reason").fill("<script>alert(1)</script>")
        page.keyboard.press("Enter")
        page.locator("#standing .state.paused").wait_for()
        assert "<script>alert(1)</script>" in page.locator("#standing").inner_text()
        page.get_by_role("button", name="Go on…").click()
        page.locator("#ask-do").click()
        page.locator("#standing .state.running").wait_for()
        town.rounds(PILOT, 2, *"AB")
        page.get_by_text("2 of 3").wait_for()  # comes by itself


def test_a_page_that_is_older_than_the_case_decides_nothing(
    browser: Browser, cohort: CohortFolder, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/quality/ms-1/sub-a_ses-1.html")
    page.locator("#accept:enabled").wait_for()
    write_json(cohort.qc(Case("a", "1")), measured("warn", 9.0))
    report(cohort)
    page.keyboard.press("a")
    kept(page, "has changed since it was opened")
    page.close()
    assert read_reviews(cohort) == {}


def test_a_case_is_seen_in_three_planes_with_its_masks(page: Page, address: str) -> None:
    page.goto(f"{address}/quality/ms-1/sub-a_ses-1.html")
    page.locator("#viewer").click()
    page.locator("body[data-ready=FLAIR]").wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    bright = lesion_pixels(page)
    assert bright > 50
    page.keyboard.press("l")
    page.wait_for_timeout(500)
    assert lesion_pixels(page) == 0
    page.get_by_label("T1w as scanned").check()
    page.locator("body[data-ready='T1w-as-scanned']").wait_for(timeout=60_000)
    page.keyboard.press("c")
    page.wait_for_url("**/quality/ms-1/sub-a_ses-1.html")


def lesion_pixels(page: Page) -> int:
    """Pixels of the picture that are clearly more red than blue, as the lesions are."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(page.locator("canvas").screenshot())) as image:
        colours = np.asarray(image.convert("RGB")).astype(int)
    return int(((colours[..., 0] - colours[..., 2]) > 60).sum())
