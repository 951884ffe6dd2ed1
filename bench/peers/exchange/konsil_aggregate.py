"""The centre's arithmetic alone: from N sealed, signed updates in a store to the new global model.

The store is the embedded S3 server over TLS, or with --disk a folder. The payload is one file under N names (hard
links, sealed once, with a manifest signed by each site), so the disk holds one model; every byte is fetched, hashed,
decrypted, checked and added as often as there are sites. Beside it the bandwidth of memory: copying the model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from konsil_run import free_port
from model import SCALE, first_weights, make_state
from session import loopback_up

from konsil.federation.enrolment_centre import init, store_server
from konsil.federation.mailbox import Kind, Letter, Mailbox, Slot, open_store
from konsil.federation.mailbox_scan import manifest_key, payload_key
from konsil.federation.strategies.contribution import Contribution
from konsil.federation.strategies.fedavg import FedAvg
from konsil.parties.merging import specs_of
from konsil.storage.folder import FolderStore
from konsil.storage.store import Store
from konsil.trust.identity import Identity
from konsil.trust.membership import membership
from konsil.trust.roster import CENTRE, Roster, bucket_of

RUN = "aggregate"


def memory_gb_s() -> tuple[float, float]:
    """Copying 124.8 MB from one array to another: GB per second and per CPU second, median of nine."""
    source = np.ones(31_200_000, np.float32)
    target, took = np.zeros_like(source), []
    for _ in range(9):
        began, busy = time.perf_counter(), time.process_time()
        np.copyto(target, source)
        took.append((time.perf_counter() - began, time.process_time() - busy))
    seconds, cpu = (statistics.median(values) for values in zip(*took, strict=True))
    return source.nbytes / seconds / 1e9, source.nbytes / cpu / 1e9


def furnished(root: Path, names: list[str], *, disk: bool, stack: ExitStack) -> Mailbox:
    """A store with one update per site, as the centre's mailbox; the server runs as long as `stack`."""
    centre = root / "centre"
    init(centre, (root / "store").as_uri() if disk else f"https://localhost:{free_port()}")
    data = root / "store" if disk else centre / "store" / "data"
    keys = {name: Identity.generate() for name in names}
    party = membership(centre)
    roster = Roster(centre=party.identity.public, sites={name: key.public for name, key in keys.items()})
    fill(data, keys, roster)
    if disk:
        store: Store = FolderStore(data)
    else:
        stack.enter_context(store_server(centre))
        store = open_store(centre)
    return Mailbox(store, me=CENTRE, run=RUN, identity=party.identity, roster=roster)


def fill(data: Path, keys: dict[str, Identity], roster: Roster) -> None:
    """The first site posts its update; the others link its payload and sign manifests of their own."""
    first, *others = keys
    writer = Mailbox(FolderStore(data), me=first, run=RUN, identity=keys[first], roster=roster)
    posted = writer.post_tensors(slot_of(first), make_state(), recipients=[CENTRE], facts={"cases": 1})
    payload = data / bucket_of(first) / payload_key(RUN, posted.slot, posted.manifest.payload_sha256)
    for name in others:
        slot = slot_of(name)
        manifest = posted.manifest.model_copy(update={"sender": name, "recipients": tuple(sorted([CENTRE, name]))})
        target = data / bucket_of(name) / payload_key(RUN, slot, manifest.payload_sha256)
        target.parent.mkdir(parents=True)
        os.link(payload, target)
        signed = manifest.signed(keys[name])
        (data / bucket_of(name) / manifest_key(RUN, slot, manifest.digest)).write_bytes(signed)


def slot_of(name: str) -> Slot:
    """The place of a site's update."""
    return Slot(Kind.update, name, 1)


def timed(mailbox: Mailbox, letters: list[Letter]) -> dict[str, Any]:
    """The mean of the letters: seconds, CPU seconds of this process, and its memory before and at its highest."""
    specs, size = specs_of(letters[0]), sum(4 * spec.size for spec in specs_of(letters[0]).values())
    parts = [Contribution(found.slot.sender, 1, partial(mailbox.stream_tensors, found)) for found in letters]
    before, began, busy = resident(), time.perf_counter(), time.process_time()
    made = FedAvg().combine(parts, specs)
    took, busy = time.perf_counter() - began, time.process_time() - busy
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if any(not np.array_equal(made[name], first) for name, first in first_weights()):
        raise RuntimeError("the mean of equal models is another model")
    bandwidth, per_cpu = memory_gb_s()
    gigabytes = len(letters) * size / 1e9
    return {
        "seconds": round(took, 3),
        "cpu_s": round(busy, 3),
        "memory_gb_s": round(bandwidth, 2),
        "memory_gb_cpu_s": round(per_cpu, 2),
        "over_memory": round(took * bandwidth / gigabytes, 1),
        "cpu_over_memory": round(busy * per_cpu / gigabytes, 1),
        "rss_before_mb": round(before / 1e6, 1),
        "peak_rss_mb": round(highest / 1e6, 1),
        "peak_rss_over_model": round(highest / size, 2),
    }


def resident() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--disk", action="store_true")
    parser.add_argument("--json", type=Path, required=True)
    chosen = parser.parse_args()
    os.environ[SCALE] = str(chosen.scale)
    loopback_up()
    chosen.json.write_text(json.dumps(figures(chosen)) + "\n")


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """One aggregation in a process that did nothing else of size."""
    with tempfile.TemporaryDirectory(prefix="konsil-aggregate-") as name, ExitStack() as stack:
        names = [f"S{place}" for place in range(chosen.sites)]
        mailbox = furnished(Path(name), names, disk=chosen.disk, stack=stack)
        letters = sorted(mailbox.letters(), key=lambda letter: int(letter.slot.sender[1:]))
        return {"sites": chosen.sites, "disk": chosen.disk, **timed(mailbox, letters)}


if __name__ == "__main__":
    main()
