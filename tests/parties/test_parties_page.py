"""The report says first how the run ended, shows every number that was made, loads nothing and escapes everything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from konsil.parties.chart import line_chart, nice
from konsil.parties.page import span, waits, write_page


@pytest.fixture
def summary(make_world: Callable[..., Any]) -> Any:
    world = make_world(rounds=2, title="Lesions <of> all sites")
    world.work()
    return world.summary()


def test_the_outcome_comes_first_and_the_scores_are_the_summarys(summary: Any, tmp_path: Path) -> None:
    page = write_page(summary, tmp_path / "report.html").read_text()
    body = page[page.index("<main>") :]
    assert body.index(summary["sentence"]) < body.index("<table>")
    for site in "ABC":
        assert f"{summary['dice']['federated'][site]:.3f}" in body
        assert f"{summary['dice']['local'][site]['A']:.3f}" in body
    assert "research use only" in body


def test_the_report_loads_nothing(summary: Any, tmp_path: Path) -> None:
    page = write_page(summary, tmp_path / "report.html").read_text()
    assert not re.search(r"https?:|<script|<link|<img|src=|@import|url\(", page)


def test_what_others_wrote_is_escaped(summary: Any, tmp_path: Path) -> None:
    summary["refused"] = [{"message": "rounds/0001/updates/B", "why": "<script>alert(1)</script>"}]
    for row in summary["rounds"]:
        row["sites"]["A"]["metrics"]["<b>"] = 1.0
    page = write_page(summary, tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "<b>, " not in page
    assert "Lesions &lt;of&gt; all sites" in page


def test_only_the_best_model_of_a_column_is_bold(summary: Any, tmp_path: Path) -> None:
    summary["dice"] = {"federated": {"A": 0.5, "B": 0.9, "C": None}, "local": {"A": {"A": 0.6, "B": 0.1, "C": None}}}
    page = write_page(summary, tmp_path / "report.html").read_text()
    assert re.findall(r'<td class="(?:own )?best">([^<]+)<', page) == ["0.900", "0.600"]


def test_training_transfer_and_waiting_add_up_to_the_rounds(summary: Any) -> None:
    total = sum(row["seconds"] for row in summary["rounds"])
    for row in waits(summary):
        assert row["work"] + row["other"] + row["waited"] == pytest.approx(total, abs=0.01)


def test_a_run_without_a_round_has_a_report_too(make_world: Callable[..., Any]) -> None:
    world = make_world(deadlines={"answer_s": 10})
    world.work("centre")
    world.pass_time(25)
    world.work("centre")
    assert "Aborted after 0 rounds: Too few sites accepted the charter" in world.page()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (-0.9, 0.1, [-1, -0.75, -0.5, -0.25, 0, 0.25]),
        (3, 3, [3, 4]),
        (0, 0, [0, 0.25]),
    ],
)
def test_ticks_are_round_numbers_that_cover_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert nice(low, high)[:2] == ticks[:2]
    assert nice(low, high)[0] <= low
    assert nice(low, high)[-1] >= high


def test_a_chart_has_one_line_per_site_and_a_point_per_round() -> None:
    svg = line_chart({"A": [(1, 0.2), (2, 0.4)], "B": [(1, 0.3)]}, label="Dice", lowest=0, highest=1)
    assert svg.count("<polyline") == 2
    assert svg.count("<circle") == 3
    assert line_chart({"A": []}, label="Dice") == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.3, "12 s"), (200, "3 min 20 s"), (18720, "5 h 12 min"), (None, "–"), ("x", "–")],
)
def test_seconds_read_as_people_say_them(seconds: Any, text: str) -> None:
    assert span(seconds) == text
