"""Whether a case fits into this machine's memory, asked before it is read.

A case needs at least its channels as float32, before and after they are resampled to the plan's voxel size. Where even
that is more than there is, the kernel would kill the process without a word; so it is said here. A case that
passes may still turn out too large, because libraries hold copies; then Python's MemoryError says so, or what libraries
written in other languages raise in its place.
"""

from __future__ import annotations

import errno
import math
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import SimpleITK

from konsil.errors import BadInput
from konsil.learners.nnunet.dataset import LabelledCase

VOXEL_BYTES = 4
GIB = 1 << 30
OUT_OF_MEMORY = ("allocate memory", "bad_alloc", "can't start new thread")
MEMINFO, STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def check(case: LabelledCase, spacing_mm: Sequence[float] | None = None) -> None:
    """Raise BadInput if this case cannot fit; `spacing_mm` (z, y, x) is the voxel size it is resampled to."""
    needed, there = needed_bytes(case, spacing_mm), available_bytes()
    if there is not None and needed > there:
        raise too_large(case, f"{needed / GIB:.2f} GiB for the voxels alone", f"{there / GIB:.2f} GiB")


@contextmanager
def for_case(case: LabelledCase) -> Iterator[None]:
    """Say in words where memory ran out while this case was worked on."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_of_memory(error):
            raise
        raise too_large(case, "more than could be had", "less than this machine has") from error


def is_of_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's word for it, the kernel's, or that of ITK, C++ and threads."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in OUT_OF_MEMORY)


def too_large(case: LabelledCase, got: str, expected: str) -> BadInput:
    """The sentence for a case that does not fit."""
    return BadInput(
        f"{case.name} is larger than this machine's memory",
        expected=f"at most {expected}" if expected[0].isdigit() else expected,
        got=got,
        hint="Leave the case out of the cohort, or work on a machine with more memory",
    )


def needed_bytes(case: LabelledCase, spacing_mm: Sequence[float] | None) -> int:
    """Bytes of a case's channels as float32, with those of the resampled ones; 0 if its header cannot be read."""
    reader: Any = SimpleITK.ImageFileReader()
    reader.SetFileName(str(case.images[0]))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return 0  # whoever reads it will say what is wrong with it
    voxels = int(math.prod(reader.GetSize()))
    if spacing_mm is not None:
        voxels += round(voxels * math.prod(reader.GetSpacing()) / math.prod(spacing_mm))
    return voxels * VOXEL_BYTES * len(case.images)


def available_bytes() -> int | None:
    """Memory this process may still take: the machine's with swap, its control group's, its limit; None: unknown."""
    found = [value for value in (of_machine(), of_group(), of_limit()) if value is not None]
    return min(found, default=None)


def of_machine() -> int | None:
    """What the kernel calls available, and free swap."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return sum(int(lines[name].split()[0]) * 1024 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return None


def of_group() -> int | None:
    """What a container's control group (version 2) leaves; None without a limit."""
    try:
        return int(LIMIT.read_text()) - int(USED.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None


def of_limit() -> int | None:
    """What the limit of this process's address space (`ulimit -v`) leaves; None without one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        return limit - int(STATM.read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return limit
