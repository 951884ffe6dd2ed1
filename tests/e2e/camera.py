"""Pictures of Airflow as one of its people sees it, in a real browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from konsil.demo.people import person
from konsil.demo.plan import DemoPlan

COME_TO_REST = """form => Promise.all(form.getAnimations({subtree: true})
    .filter(one => one.effect.getTiming().iterations < Infinity).map(one => one.finished.catch(() => null)))"""
IN_FRONT = "() => document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('[role=dialog]') !== null"
"""Text can be found before there is anything to see: a form opens out of nothing, slowly on a busy machine."""


@dataclass(frozen=True)
class Camera:
    """A browser's page at the places of a plan; pictures go to a folder."""

    page: Page
    plan: DemoPlan
    images: Path

    def show(self, place: str, account: str, path: str, *, wait_for: str) -> None:
        """Open a page of a place as one of its people, until `wait_for` can be read."""
        client = person(self.plan, place, account)
        client.login()
        self.page.context.clear_cookies()
        self.page.context.add_cookies([{"name": "_token", "value": client._token, "url": f"{client.url}/"}])
        self.page.goto(f"{client.url}/{path}")
        self.page.get_by_text(wait_for).first.wait_for(timeout=120_000)
        self.page.wait_for_timeout(1500)  # the icons and graphs of the page arrive after its text

    def take(self, name: str, *, after_ms: int = 0) -> None:
        """Keep a picture of what is shown now."""
        self.page.wait_for_timeout(after_ms)
        self.page.screenshot(path=self.images / f"{name}.png")

    def shoot(self, place: str, account: str, path: str, name: str, *, wait_for: str) -> None:
        """`show`, then `take`."""
        self.show(place, account, path, wait_for=wait_for)
        self.take(name)

    def shoot_form(self, place: str, account: str, dag_id: str, first: str) -> None:
        """The trigger form of a DAG, whose first field is named `first`."""
        self.show(place, account, f"dags/{dag_id}", wait_for="Trigger")
        self.page.get_by_role("button", name="Trigger").first.click()
        form = self.page.get_by_role("dialog")
        form.get_by_text(first).first.wait_for(timeout=120_000)
        form.evaluate(COME_TO_REST)
        assert self.page.evaluate(IN_FRONT), f"the form of {dag_id} is not what is seen"
        self.take(f"{dag_id.replace('_', '-')}-form", after_ms=500)

    def leave(self) -> None:
        """Open nothing: an open page of Airflow asks for news all the time."""
        self.page.goto("about:blank")
