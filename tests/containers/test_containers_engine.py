"""What an engine of ours changes on its host goes with it: tried in a network namespace, a host without Docker."""

import subprocess
from pathlib import Path

import pytest

from tests.containers.engine import ROOT

pytestmark = pytest.mark.containers
# A rule of the host's own, which stays; what an engine changes is told before it, while it runs and after it.
SCRIPT = """
set -eu
mount -t tmpfs none /run
host() { iptables -S; iptables -t nat -S; ip -brief link; cat /proc/sys/net/ipv4/ip_forward; }
ip link set lo up
iptables -A INPUT -p tcp --dport 9 -j DROP
host > "$2/before"
sh "$1/scripts/engine.sh" start "$2/engine"
host > "$2/during"
sh "$1/scripts/engine.sh" stop "$2/engine"
host > "$2/after"
"""


def test_a_stopped_engine_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    words = ["unshare", "--net", "--mount", "sh", "-c", SCRIPT, "sh", str(ROOT), str(tmp_path)]
    end = subprocess.run(words, capture_output=True, text=True, check=False, timeout=180)
    assert end.returncode == 0, end.stderr[-2000:]
    before, during, after = ((tmp_path / name).read_text() for name in ("before", "during", "after"))
    assert "docker0" in during
    assert "--dport 9" in before
    assert after == before
