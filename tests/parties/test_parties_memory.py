"""A party that frees a model and asks for it again does not make the kernel clear it again."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from konsil.parties.memory import keep_memory
if sys.argv[1] == "keep" and not keep_memory():
    raise SystemExit("no glibc")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model = [np.ones(100_000, np.float32) for _ in range(100)]
    del model
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=False)
    if "no glibc" in done.stderr:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_model_that_comes_again_costs_no_new_pages() -> None:
    assert faults("keep") < 100
    assert faults("give back") > 1000
