"""Which case comes first, which is unlike the others, and how that is drawn."""

from __future__ import annotations

from typing import Any

import pytest

from konsil.quality.company import Entry, in_order
from konsil.quality.outliers import badness, far_off, z_scores
from konsil.quality.strips import EDGE, WIDTH, make_strip, scale_of

MIDDLE = (EDGE + WIDTH - EDGE) / 2


def line(value: float | None, better: str = "within", verdict: str = "pass", **limits: float) -> dict[str, Any]:
    return {
        "title": "Volume", "image": "T1w", "value": value, "better": better, "unit": "mL",
        "verdict": verdict, "limits": limits,
    }  # fmt: skip


def entry(case: str, value: float | None = 1.0, verdict: str = "pass", **limits: float) -> Entry:
    return Entry(case, verdict, (), {"t1w_brain_ml": line(value, verdict=verdict, **limits)}, {})


def test_a_case_unlike_the_others_is_found_and_four_cases_are_no_reference() -> None:
    cohort = {f"sub-{n}": {"m": line(1400.0 + 10 * n)} for n in range(9)}
    assert not any(far_off(cohort).values())
    odd = {"sub-x": {"m": line(900.0)}, "sub-y": {"m": line(None)}}
    assert {name for name, far in far_off(cohort | odd).items() if far} == {"sub-x"}
    few = {name: cohort[name] for name in ("sub-0", "sub-1", "sub-2")}
    assert not any(far_off(few | odd).values())


def test_modified_z_scores_by_hand() -> None:
    assert z_scores([1, 2, 3, 4, 5]) == pytest.approx([-1.349, -0.6745, 0, 0.6745, 1.349])
    assert z_scores([2, 2, 2, 9]) == [0, 0, 0, 0]


@pytest.mark.parametrize(("better", "bad"), [("higher", 0.0), ("lower", 4.0), ("within", 4.0), ("neither", 4.0)])
def test_far_on_the_better_side_is_not_bad(better: str, bad: float) -> None:
    assert badness(4.0, better) == bad


def test_the_worst_come_first_and_among_equals_the_oddest() -> None:
    odd = Entry("c", "pass", (), {}, {}, far={"m": 5.0})
    order = in_order([entry("a"), entry("b", verdict="warn"), odd, entry("d", verdict="fail"), entry("e")])
    assert [one.case for one in order] == ["d", "b", "c", "a", "e"]


def test_a_strip_runs_to_the_nearest_limits_but_not_to_far_ones() -> None:
    near = {"warn_below": 8.0, "fail_below": 2.0, "warn_above": 15.0}
    assert (scale_of([10.0, 12.0], near).low, scale_of([10.0, 12.0], near).high) == (8.0, 15.0)
    assert scale_of([10.0, 12.0], {"warn_above": 100.0}).high == 12.0
    assert scale_of([0.0, 0.0], {"warn_above": 100.0}).high == 100.0, "equal values have no range to compare with"


def test_equal_values_without_limits_stand_in_the_middle() -> None:
    assert scale_of([0.0], {}).at(0.0) == MIDDLE
    assert scale_of([7.0, 7.0], {}).at(7.0) == MIDDLE


def test_marks_and_grounds_lie_where_the_values_are() -> None:
    limits = {"warn_above": 2.0, "fail_above": 3.0}
    company = [entry("a", 1.0, **limits), entry("b", 2.5, "warn", **limits), entry("c", 5.0, "fail", **limits)]
    strip = make_strip("t1w_brain_ml", [*company, entry("d", None)])
    assert strip is not None
    assert [(dot.case, dot.verdict) for dot in strip.dots] == [("a", "pass"), ("b", "warn"), ("c", "fail")]
    assert [dot.x for dot in strip.dots] == [EDGE, EDGE + 320 * 1.5 / 4, WIDTH - EDGE]
    assert strip.bands == ((90.0, 250.0, "warn"), (170.0, 170.0, "fail"))
    assert strip.ticks == "M10 7v12M130 7v12M330 7v12"
    assert strip.dot("d") is None


def test_where_nobody_was_measured_or_nothing_differs_there_is_no_strip() -> None:
    assert make_strip("t1w_brain_ml", [entry("a", None)]) is None
    assert make_strip("t1w_brain_ml", [entry("a", 1.0), entry("b", 1.0)]) is None
    assert make_strip("t1w_brain_ml", [entry("a", 1.0, warn_above=2.0)]) is not None


def test_a_cohort_beyond_its_limit_lies_on_the_ground_of_it() -> None:
    company = [entry("a", 50.0, "fail", fail_above=3.0), entry("b", 51.0, "fail", fail_above=3.0)]
    strip = make_strip("t1w_brain_ml", company)
    assert strip is not None
    assert strip.bands == ((0.0, float(WIDTH), "fail"),)
