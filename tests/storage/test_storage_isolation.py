"""A's credentials at the embedded server: its own bucket, `global` for reading, and nothing else, tried raw."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from konsil.storage.server import StoreServer
from konsil.storage.users import Users
from konsil.trust.authority import Authority


@pytest.fixture(scope="module")
def shared(tmp_path_factory: Any, shared_of: Any) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("embedded")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    Authority(home).certify("127.0.0.1", home / "store")
    users = Users(home / "store")
    keys = {"centre": users.add("centre", None)}
    keys |= {site: users.add(site, {site: "rw", "global": "ro"}) for site in ("site-a", "site-b")}
    with StoreServer(home / "store", f"https://{address}"):
        made = shared_of(address, keys, home / "authority" / "authority.pem")
        made.plant()
        yield made


def test_a_site_uses_its_bucket_and_reads_global(shared, isolation):
    isolation(shared).what_a_site_may()


def test_a_site_cannot_do_anything_else(shared, isolation):
    isolation(shared).what_it_may_not()


def test_a_site_makes_and_sees_no_other_bucket(shared, isolation):
    isolation(shared).no_bucket_of_its_own()
