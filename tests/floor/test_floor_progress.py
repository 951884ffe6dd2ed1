"""Where long work stands: in words, at most so often, with an estimate that does not count what came before."""

from __future__ import annotations

import pytest

from konsil.progress import Lines, Progress, Watch, heard, span, tell

HERE = Progress(3, 50, 1, 1, 120, 250, loss=0.41234, dice=0.7312, left_s=750)


def test_a_place_in_words() -> None:
    assert str(HERE) == "round 3 of 50, batch 120 of 250, loss 0.412, Dice 0.731, about 12 min left"
    assert str(Progress(1, 2, 2, 3, 4, 5)) == "round 1 of 2, epoch 2 of 3, batch 4 of 5"


@pytest.mark.parametrize(("seconds", "words"), [(3.2, "3 s"), (59, "59 s"), (200, "3 min"), (18720, "5 h 12 min")])
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_who_listens_hears_and_then_no_more() -> None:
    heard_of: list[Progress] = []
    with heard(heard_of.append):
        tell(HERE)
    tell(HERE)
    assert heard_of == [HERE]


def test_lines_come_at_most_so_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    now = [0.0]
    lines = Lines(every_s=15, clock=lambda: now[0])
    for now[0] in range(0, 40):
        lines(HERE)
    assert caplog.messages == [str(HERE)] * 2  # at 15 and 30 s


def test_the_estimate_counts_from_the_first_batch_that_is_done() -> None:
    """The first one starts loaders or compiles a network: 100 s, then 2 s a batch."""
    now = [0.0]
    watch = Watch(clock=lambda: now[0])
    now[0] = 100.0
    assert watch.left_s(9) is None
    now[0] = 102.0
    assert watch.left_s(8) == pytest.approx(16)
    now[0] = 108.0
    assert watch.left_s(7) == pytest.approx(7 * 4)
