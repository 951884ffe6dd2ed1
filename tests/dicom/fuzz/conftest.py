"""Where the damaged files come from: `fuzz_seeds` makes whole ones, `fuzz_damage` spoils them.

KONSIL_FUZZ multiplies the number of files (1 by default, as in `make test`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def times() -> int:
    """How many times more files than usual."""
    return int(os.environ.get("KONSIL_FUZZ", "1"))


@pytest.fixture(scope="session")
def planted() -> tuple[str, ...]:
    """What no sentence may hold: every part of every planted value, in capitals."""
    from fuzz_seeds import NUMBER, PLANTED

    values = " ".join(PLANTED.values()).replace("^", " ").replace(NUMBER, "")
    return tuple(sorted(set(values.split())))
