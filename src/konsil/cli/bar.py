"""Progress of a federation on a terminal: one bar for the rounds, one for the batches of the round in work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from konsil.federation.steps import Step, Wait
from konsil.progress import Progress, heard, span

if TYPE_CHECKING:
    from konsil.federation.course import Course


@contextmanager
def bars(course: Callable[[], Course | None], console: Console | None = None) -> Iterator[Callable[[Step], None]]:
    """Two bars while this is open; call what it gives with every step. Log lines appear above them."""
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description:<8}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TextColumn("{task.fields[what]}"), console=console, transient=True) as shown, through(console):
        rounds = shown.add_task("rounds", total=None, what="starting")
        batches = shown.add_task("batches", total=None, what="", visible=False)

        def step(now: Step) -> None:
            number, going = getattr(now, "round", None), course()
            what = f"waiting {now.why}" if isinstance(now, Wait) else f"phase {now.phase}"
            shown.update(rounds, what=what[:60], total=going.end if going else None)
            if number is not None:
                shown.update(rounds, completed=number)

        def batch(place: Progress) -> None:
            said = [f"epoch {place.epoch} of {place.epochs}"] if place.epochs > 1 else []
            said += [f"loss {place.loss:.3f}"] if place.loss is not None else []
            said += [f"Dice {place.dice:.3f}"] if place.dice is not None else []
            said += [f"{span(place.left_s)} left"] if place.left_s is not None else []
            shown.update(rounds, completed=place.round, total=place.rounds)
            shown.update(batches, total=place.batches, completed=place.batch, what=", ".join(said), visible=True)

        with heard(batch):
            yield step


@contextmanager
def through(console: Console) -> Iterator[None]:
    """Let log lines go through the bars' console, which writes them above the bars, not into them."""
    import logging

    mine = [one for one in logging.getLogger().handlers if isinstance(one, RichHandler)]
    before = [one.console for one in mine]
    for handler in mine:
        handler.console = console
    try:
        yield
    finally:
        for handler, own in zip(mine, before, strict=True):
            handler.console = own
