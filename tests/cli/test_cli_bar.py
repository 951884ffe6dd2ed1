"""What a person sees on a terminal while a site trains."""

from __future__ import annotations

import io
import logging
import re
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from konsil.cli.bar import bars
from konsil.federation.steps import Train
from konsil.progress import Progress, tell


def test_rounds_batches_loss_dice_and_the_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    course: Any = SimpleNamespace(end=50)
    with bars(lambda: course, console) as step:
        step(Train(3))
        tell(Progress(3, 50, 1, 2, 120, 250, loss=0.412, dice=0.731, left_s=750))
    seen = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("rounds", "3/50", "batches", "120/250", "epoch 1 of 2, loss 0.412, Dice 0.731, 12 min left"):
        assert words in seen, seen
    before = len(seen)
    tell(Progress(4, 50, 1, 2, 1, 250))
    assert len(console.file.getvalue()) == before  # type: ignore[attr-defined]


def test_log_lines_stand_above_the_bars() -> None:
    own, console = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True, width=120)
    handler = RichHandler(console=own, show_path=False)
    logging.getLogger().addHandler(handler)
    try:
        with bars(lambda: None, console):
            logging.getLogger("konsil").warning("round 3 of 50: train_loss 0.412")
        assert handler.console is own
    finally:
        logging.getLogger().removeHandler(handler)
    assert "round 3 of 50" in re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())  # type: ignore[attr-defined]
    assert own.file.getvalue() == ""  # type: ignore[attr-defined]
