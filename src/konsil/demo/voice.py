"""What the demo says: one line per event with the seconds since it began, and a bar for the rounds on a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text


class Voice:
    """Speaks on stdout; safe to use from several threads. A context manager, so that a bar never outlives the demo."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._begun = time.monotonic()
        columns = (TextColumn("       {task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        self._progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal, transient=True)
        self._bar = self._progress.add_task("rounds", total=None, visible=False)

    def __enter__(self) -> Voice:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def minutes(self) -> float:
        """Minutes since the beginning."""
        return (time.monotonic() - self._begun) / 60

    def say(self, text: str) -> None:
        """One line with the time in front. `text` is plain: brackets mean nothing."""
        self.console.print(Text(f"{time.monotonic() - self._begun:5.0f} s  {text}"))

    def rounds(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._bar, completed=done, total=total, visible=done < total)
