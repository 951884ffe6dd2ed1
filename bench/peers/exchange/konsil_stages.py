"""What each stage of konsil's exchange costs for one model, in CPU seconds, beside the limits of the machine.

CPU seconds of this process, and of the S3 server where it works too; medians of `--repeat`. A limit is the same bytes
through the bare primitive: copying memory, SHA-256, MD5 (S3 servers compute it of an upload), ChaCha20-Poly1305 in one
call, writing a file to the disk and waiting for it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from konsil_run import free_port
from model import SCALE, make_state
from monitor import TICK, content
from session import loopback_up

from konsil.federation.enrolment_centre import init, store_server
from konsil.federation.mailbox import open_store
from konsil.federation.payload import Gathering, TensorSource, table_of
from konsil.federation.strategies.contribution import Contribution, Spec
from konsil.federation.strategies.fedavg import FedAvg
from konsil.storage.store import Store
from konsil.trust.envelope import seal, unseal
from konsil.trust.identity import Identity

BUCKET, BLOCK = "site-bench", 1 << 20
State = dict[str, Any]


def seconds_of(act: Callable[[], object], server: int | None = None) -> tuple[float, float, float]:
    """Elapsed seconds, CPU seconds of this process, and of the server."""
    began, mine, its = time.perf_counter(), time.process_time(), served(server)
    act()
    return time.perf_counter() - began, time.process_time() - mine, served(server) - its


def served(server: int | None) -> float:
    """CPU seconds a process has used."""
    fields = content(f"/proc/{server}/stat").decode().rpartition(")")[2].split() if server else []
    return (int(fields[11]) + int(fields[12])) / TICK if fields else 0.0


def stages(state: State, sealed: bytes, identity: Identity) -> dict[str, Callable[[], object]]:
    """What parties do with a model in their own process."""
    specs = {name: Spec(array.shape, "float32") for name, array in state.items()}
    table = table_of(state)

    def chunks() -> Iterator[tuple[str, int, Any]]:
        for name, array in state.items():
            for begin in range(0, array.size, BLOCK // 4):
                yield name, begin, array.reshape(-1)[begin : begin + BLOCK // 4]

    return {
        "seal": lambda: seal(TensorSource(state), io.BytesIO(), [identity.public.age]),
        "open": lambda: unseal(io.BytesIO(sealed), Gathering(table).sink(), identity),
        "sum of one site": lambda: FedAvg().combine([Contribution("A", 1, chunks)], specs),
        "sum of nine sites": lambda: FedAvg().combine([Contribution(str(n), 1, chunks) for n in range(9)], specs),
    }


def limits(sealed: bytes, folder: Path) -> dict[str, Callable[[], object]]:
    """The bare primitives."""
    source = np.frombuffer(sealed, np.uint8)
    target, cipher, room = np.ones_like(source), ChaCha20Poly1305(bytes(32)), bytearray(len(sealed) + 16)

    def to_disk() -> None:
        with (folder / "file").open("wb") as file:
            file.write(sealed)
            os.fsync(file.fileno())

    return {
        "limit: copy in memory": lambda: np.copyto(target, source),
        "limit: SHA-256": lambda: hashlib.sha256(sealed).digest(),
        "limit: MD5": lambda: hashlib.md5(sealed, usedforsecurity=False).digest(),
        "limit: ChaCha20-Poly1305": lambda: cipher.encrypt_into(bytes(12), sealed, None, room),
        "limit: file on the disk": to_disk,
    }


def transfers(store: Store, sealed: bytes, folder: Path) -> dict[str, Callable[[], object]]:
    """Sending and fetching through the store."""

    def put() -> None:
        with (folder / "payload").open("rb") as file:
            store.put(BUCKET, "payload", file, len(sealed))

    def get() -> None:
        with store.get(BUCKET, "payload") as stream:
            while stream.read(BLOCK):
                pass

    (folder / "payload").write_bytes(sealed)
    return {"PUT": put, "GET": get, "LIST": lambda: store.list(BUCKET)}


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args()
    os.environ[SCALE] = str(chosen.scale)
    loopback_up()
    with tempfile.TemporaryDirectory(prefix="konsil-stages-") as name:
        centre, state, identity, file = Path(name) / "centre", make_state(), Identity.generate(), io.BytesIO()
        seal(TensorSource(state), file, [identity.public.age])
        sealed = file.getvalue()
        init(centre, f"https://localhost:{free_port()}")
        (centre / "store" / "data" / BUCKET).mkdir(parents=True)
        with store_server(centre) as server:
            acts = {**stages(state, sealed, identity), **limits(sealed, Path(name))}
            acts |= transfers(open_store(centre), sealed, Path(name))
            took = {title: [seconds_of(act, server.pid) for _ in range(chosen.repeat)] for title, act in acts.items()}
    rows = {title: [statistics.median(column) for column in zip(*found, strict=True)] for title, found in took.items()}
    keys = ("seconds", "cpu_s", "server_cpu_s")
    figures = {title: dict(zip(keys, (round(v, 3) for v in row), strict=True)) for title, row in rows.items()}
    chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
