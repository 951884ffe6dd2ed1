"""From push to pull: unsealing pushes decrypted bytes into a sink, an aggregator wants to draw chunk after chunk.

The pushing side runs in a thread and stops when four chunks wait, so memory stays constant. An error of the pushing
side is raised at the drawing side; a drawing side that goes away ends the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

from konsil.errors import KonsilError

Item = TypeVar("Item")
WAITING = 4
LOOK_S = 0.1


class _AbandonedError(KonsilError):
    """The drawing side went away."""


class _End:
    """The pushing side has finished, with an error or without."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def drawn(push: Callable[[Callable[[Item], None]], None]) -> Iterator[Item]:
    """Yield what `push(emit)` emits, in order, then raise what it raised."""
    queue: Queue[Item | _End] = Queue(maxsize=WAITING)
    gone = Event()
    thread = Thread(target=_pushing, args=(push, queue, gone), daemon=True, name="konsil-unseal")
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        gone.set()
        thread.join()


def _pushing(push: Callable[[Callable[[Item], None]], None], queue: Queue[Item | _End], gone: Event) -> None:
    """Run `push` to its end; nobody is told about the end if the drawing side went away."""

    def offered(item: Item | _End) -> bool:
        while not gone.is_set():
            try:
                queue.put(item, timeout=LOOK_S)
            except Full:
                continue
            return True
        return False

    def emit(item: Item) -> None:
        if not offered(item):
            raise _AbandonedError("nobody draws any more")

    error: BaseException | None = None
    try:
        push(emit)
    except BaseException as found:  # noqa: BLE001 - raised again at the drawing side
        error = found
    offered(_End(error))
