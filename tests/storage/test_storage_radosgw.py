"""The same attempts at a strict server that konsil does not run: Ceph's radosgw with the policies konsil writes.

One monitor, one store in memory, one gateway, without login among themselves, all on 127.0.0.1 (Debian's packages
radosgw, ceph-mon, ceph-osd, ceph-common: `scripts/need_programs.sh`). Skipped by name where they are not installed.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from konsil.errors import KonsilError
from konsil.federation.enrolment_centre import init, invite
from konsil.federation.enrolment_site import join
from konsil.federation.enrolment_sites import accept_all
from konsil.federation.mailbox import Kind, Slot, open_mailbox, open_store
from konsil.storage.policies import bucket_policies
from konsil.storage.users import Credentials

PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
START_S = 90
ARN = "arn:aws:iam:::user/{}"
CONFIGURATION = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}/0]
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms bind msgr1 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 536870912
mon data avail crit = 1
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {root}
admin socket = {root}/$name.asok
log file = {root}/$name.log
mon cluster log file = {root}/cluster.log
mon data = {root}/mon
osd data = {root}/osd
osd journal = {root}/osd/journal
keyring = {root}/keyring
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw data = {root}/rgw
rgw run sync thread = false
"""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Ceph:
    """A cluster of one in `root`."""

    def __init__(self, root: Path) -> None:
        self.root, self.fsid = root, str(uuid.uuid4())
        self.mon, self.gateway = free_ports(2)
        for name in ("osd", "rgw"):
            (root / name).mkdir(parents=True)
        values = {"fsid": self.fsid, "mon": self.mon, "gateway": self.gateway, "root": root}
        (root / "ceph.conf").write_text(CONFIGURATION.format(**values))

    def call(self, *words: str) -> str:
        done = subprocess.run(
            [*words, "-c", str(self.root / "ceph.conf")], capture_output=True, text=True, timeout=START_S, check=False
        )
        assert done.returncode == 0, (words, done.stderr[-500:])
        return done.stdout

    @contextmanager
    def daemon(self, *words: str) -> Iterator[None]:
        with (self.root / f"{words[0]}.out").open("w") as out:
            process = subprocess.Popen([*words, "-f", "-c", str(self.root / "ceph.conf")], stdout=out, stderr=out)
        try:
            yield
        finally:
            process.kill()  # nothing of it is kept
            process.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        monitors, osd = str(self.root / "monmap"), str(uuid.uuid4())
        address = f"[v2:127.0.0.1:{self.mon}/0]"
        create = ["monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monitors]
        subprocess.run(create, check=True, capture_output=True)
        self.call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        with ExitStack() as stack:
            stack.enter_context(self.daemon("ceph-mon", "-i", "a"))
            number = self.call("ceph", "osd", "new", osd).strip()
            self.call("ceph-osd", "--mkfs", "-i", number, "--osd-uuid", osd)
            stack.enter_context(self.daemon("ceph-osd", "-i", number))
            stack.enter_context(self.daemon("radosgw", "-n", "client.rgw"))
            self.wait()
            yield

    def wait(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.gateway), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("radosgw did not start")

    def user(self, name: str, *rest: str) -> Credentials:
        create = ["radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}", "-n", "client.rgw"]
        (made,) = json.loads(self.call(*create, *rest))["keys"]
        return Credentials(made["access_key"], made["secret_key"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: Any, shared_of: Any) -> Iterator[Any]:
    """A centre that owns the buckets and has set konsil's policies, and users of sites that own nothing."""
    ceph = Ceph(tmp_path_factory.mktemp("ceph"))
    with ceph.running():
        keys = {"centre": ceph.user("centre")}
        keys |= {site: ceph.user(site, "--max-buckets=-1") for site in ("site-a", "site-b")}
        made = shared_of(f"127.0.0.1:{ceph.gateway}", keys)
        users = {site: ARN.format(site) for site in ("site-a", "site-b")}
        for bucket, policy in bucket_policies(users, ARN.format("centre")).items():
            made.client("centre").make_bucket(bucket)
            made.client("centre").set_bucket_policy(bucket, json.dumps(policy))
        made.plant()
        yield made


def test_a_site_uses_its_bucket_and_reads_global(shared, isolation):
    isolation(shared).what_a_site_may()


def test_a_site_cannot_do_anything_else(shared, isolation):
    isolation(shared).what_it_may_not()


def test_a_site_makes_and_sees_no_other_bucket(shared, isolation):
    isolation(shared).no_bucket_of_its_own()


def test_a_federation_uses_it(shared, tmp_path):
    """From the invitation with given credentials to an opened message, and B's key at A's bucket."""
    homes = {name: tmp_path / name for name in ("centre", "A", "B")}
    init(homes["centre"], shared.url, credentials=shared.keys["centre"])
    for site in ("A", "B"):
        invite(homes["centre"], site, tmp_path / f"{site}.pass", given=shared.keys[f"site-{site.lower()}"])
        join(homes[site], tmp_path / f"{site}.pass")
    assert {state.site: state.state for state in accept_all(homes["centre"])} == {"A": "enrolled", "B": "enrolled"}
    open_mailbox(homes["centre"], "run-1").post_json(Slot(Kind.charter, "centre"), {"n": 1}, recipients=["A", "B"])
    box = open_mailbox(homes["A"], "run-1")
    (letter,) = box.letters()
    assert box.read_json(letter) == {"n": 1}
    box.post_json(Slot(Kind.answer, "A"), {"accepted": True}, recipients=["centre"])
    assert {str(found.slot) for found in open_mailbox(homes["centre"], "run-1").letters()} == {"charter", "answers/A"}
    with pytest.raises(KonsilError):
        open_store(homes["B"]).list("site-a", "run-1/")
