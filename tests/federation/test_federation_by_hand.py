"""The commands of docs/by-hand.md, as they stand: they open an honest message, and stop at a changed one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from konsil.federation.enrolment_centre import init, invite
from konsil.federation.enrolment_site import join
from konsil.federation.enrolment_sites import accept_all
from konsil.federation.mailbox import Kind, Slot, open_mailbox
from konsil.federation.rotation import rotate

PAGE = Path(__file__).parents[2] / "docs" / "by-hand.md"
PROGRAMS = ("age", "openssl", "sha256sum", "base64", "od")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


class Message:
    """A site's update in a folder, and the page's commands as one script."""

    def __init__(self, root: Path) -> None:
        self.home, site, store = root / "centre", root / "A", root / "store"
        init(self.home, store.as_uri())
        invite(self.home, "A", root / "A.pass")
        join(site, root / "A.pass")
        accept_all(self.home)
        tensors = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
        facts = {"cases": 8}
        box = open_mailbox(site, "run-1")
        box.post_tensors(Slot(Kind.update, "A", 1), tensors, recipients=["centre"], facts=facts)
        self.folder = store / "site-a" / "run-1" / "rounds" / "0001" / "updates" / "A"

    def object(self, kind: str) -> Path:
        (found,) = self.folder.glob(f"{kind}-*")
        return found

    def follow(self) -> subprocess.CompletedProcess[str]:
        script = "set -eu\n" + "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL))
        environment = {**os.environ, "KONSIL_HOME": str(self.home)}
        return subprocess.run(
            ["sh", "-c", script], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def message(tmp_path: Path) -> Message:
    return Message(tmp_path)


def test_the_page_opens_a_message(message):
    done = message.follow()
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    assert '"facts":{"audit":' in done.stdout
    assert '{"layer.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}' in done.stdout
    assert not (message.folder / "keys.txt").exists()
    assert (message.folder / "inside.safetensors").read_bytes()[-24:] == np.arange(6, dtype="<f4").tobytes()


def test_the_page_opens_what_was_sealed_for_replaced_keys(message):
    rotate(message.home)
    assert message.follow().returncode == 0


@pytest.mark.parametrize(("kind", "place"), [("payload", -3), ("manifest", -3), ("manifest", 30)])
def test_the_page_stops_at_a_changed_message(message, kind, place):
    content = bytearray(message.object(kind).read_bytes())
    content[place] = content[place] ^ 1
    message.object(kind).write_bytes(content)
    assert message.follow().returncode != 0


def test_the_page_stops_at_another_signer(message):
    roster = (message.home / "roster.json").read_text()
    keys = re.findall(r'"signing": "(.*)"', roster)
    (message.home / "roster.json").write_text(roster.replace(keys[1], keys[0]))
    assert "Signature Verification Failure" in message.follow().stdout
