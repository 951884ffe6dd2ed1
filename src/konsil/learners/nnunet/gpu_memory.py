"""The memory of a GPU that others use too: a full card is a sentence, and what is not needed is given back.

A full card shows itself in many ways. torch's allocator raises OutOfMemoryError; a context, a handle of cuBLAS or cuDNN
or a kernel of Triton that finds no room raises a RuntimeError whose text says so; cuDNN, which tries its algorithms one
after the other, finds none that works; and what torch compiles wraps each of these once more.

torch keeps the memory that it has freed for its own next use, so nobody else gets it. It is given back after every
round, and where there was no room: whoever waits for room should not hold what another one waits for.
"""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from konsil.errors import Exhausted

log = logging.getLogger(__name__)
GIB = 1 << 30
FULL = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
WITHOUT_REASON = ("STATUS_NOT_INITIALIZED", "STATUS_INTERNAL_ERROR", "unable to find an engine")
"""What cuBLAS and cuDNN say for want of memory, and for want of much else."""
LITTLE_BYTES = GIB


@contextmanager
def enough(undone: str, let_go: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Exhausted if the GPU's memory does not do for what is inside; `undone` ends its sentence.

    What is inside should be one call: the variables of every function that it left are forgotten, `let_go` drops the
    rest, and all of it is given back before the error is raised.
    """
    with what_is_held_is_dropped() as found:
        yield
    if not found:
        return
    let_go()
    gc.collect()
    if in_use():
        torch.compiler.reset()  # torch counts how often it compiled one function, and some day gives up: start anew
    give_back()
    raise Exhausted(
        f"the GPU's memory is full, so {undone}",
        expected="room for the planned patch and batch, which Konsil never makes smaller by itself",
        got=spoken(),
        hint="End other work on the card, or let the centre plan for less with gpu_memory_target_gb",
    )


@contextmanager
def what_is_held_is_dropped() -> Iterator[list[str]]:
    """Swallow the error of a full GPU with all variables that it knows; the list then holds its name."""
    found: list[str] = []
    try:
        yield found
    except RuntimeError as error:
        if not is_full(error):
            raise
        log.info("the GPU said: %s", str(error).splitlines()[0][:200])
        found.append(type(error).__name__)
        traceback.clear_frames(error.__traceback__)


def is_full(error: RuntimeError) -> bool:
    """Whether this is what a full GPU looks like."""
    if isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in FULL):
        return True
    return any(word in str(error) for word in WITHOUT_REASON) and (free_bytes() or 0) < LITTLE_BYTES


def give_back() -> None:
    """Return to the card what torch holds for its own next use; nothing without a card."""
    if in_use():
        torch.cuda.empty_cache()


def in_use() -> bool:
    """Whether this process has anything on a card."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def free_bytes() -> int | None:
    """What the card has left for everybody; None where it cannot even be asked."""
    try:
        return int(torch.cuda.mem_get_info()[0])
    except (RuntimeError, AssertionError):  # no room for a context; a torch without CUDA
        return None


def spoken() -> str:
    """How much room there is, in words."""
    free = free_bytes()
    if free is None:
        return "a card without room for anything"
    return f"{free / GIB:.1f} GiB free, once what this process held was given back"
