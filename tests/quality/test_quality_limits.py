"""The table of measures, and the manual that explains it."""

import re
from pathlib import Path

from konsil.quality.image_measures import AIR_NAMES
from konsil.quality.limits import load_limits, measure_kinds, read_table

MANUAL = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")


def test_the_manual_explains_every_measure_and_no_other() -> None:
    rows = re.findall(r"^\| ((?:`\w+` ?)+)(?:\(FLAIR\) )?\| [^|]", MANUAL.split("## Figures")[0], flags=re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(read_table()["measures"])


def test_every_limit_stands_on_the_bad_side() -> None:
    limits = load_limits()
    for key, kind in measure_kinds().items():
        bounds = limits.bounds(key)
        low, high = (bounds.warn_below, bounds.fail_below), (bounds.warn_above, bounds.fail_above)
        if kind.better == "higher":
            assert high == (None, None), key
        if kind.better in ("lower", "neither"):
            assert low == (None, None), key
        assert kind.low or low == (None, None), f"{key} has a limit and no word for it"
        assert kind.high or high == (None, None), f"{key} has a limit and no word for it"


def test_a_warning_comes_before_a_failure() -> None:
    for key, bounds in load_limits().limits.items():
        if bounds.warn_below is not None and bounds.fail_below is not None:
            assert bounds.warn_below > bounds.fail_below, key
        if bounds.warn_above is not None and bounds.fail_above is not None:
            assert bounds.warn_above < bounds.fail_above, key


def test_masked_air_is_no_remark() -> None:
    kinds = measure_kinds()
    assert all(kinds[f"{image}_{name}"].optional for image in ("t1w", "flair") for name in AIR_NAMES)
