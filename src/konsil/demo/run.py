"""The demo from its first to its last line. Whatever ends it, nothing of it keeps running unless that was asked for."""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from konsil.demo.ending import summarise, tell_doors, tell_end
from konsil.demo.federating import approve, follow, start_federation
from konsil.demo.inboxes import make_patients
from konsil.demo.plan import DemoPlan
from konsil.demo.preparing import prepare
from konsil.demo.together import together
from konsil.demo.voice import Voice
from konsil.errors import BadInput
from konsil.stack import supervisor
from konsil.stack.places import make_plan, read_plan
from konsil.types import Json

MARK = ".konsil-demo"


def run(plan: DemoPlan, voice: Voice, *, keep: bool = False) -> Json:
    """Everything; gives the summary. With `keep` the instances stay up when it went well."""
    with alone(plan):
        return walk(plan, voice, keep=keep)


@contextmanager
def alone(plan: DemoPlan) -> Iterator[None]:
    """Hold the folder for one demo; the lock ends with the process, however it ends."""
    path = plan.folder.with_name(f"{plan.folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                "another demo runs in this folder at this moment", hint="Wait for its end, or name a folder with --dir"
            ) from error
        yield


def walk(plan: DemoPlan, voice: Voice, *, keep: bool) -> Json:
    """From nothing to the reports."""
    clear(plan, voice)
    keeping = False
    try:
        prepare_cohorts(plan, voice)
        federate(plan, voice)
        summary = summarise(plan, voice.minutes)
        tell_end(plan, summary, voice)
        keeping = keep
        if keep:
            tell_doors(plan, voice)
        return summary
    finally:
        if not keeping:
            stop(plan, voice)


def clear(plan: DemoPlan, voice: Voice) -> None:
    """End what an earlier demo left running and remove what it wrote: every demo starts from nothing.

    A folder that no demo made is refused, so that a slip of the pen deletes nothing.
    """
    if plan.folder.exists() and any(plan.folder.iterdir()):
        if not (plan.folder / MARK).exists():
            raise BadInput(
                "the demo's folder holds something that no demo wrote", expected="a new or empty folder",
                got=str(plan.folder), hint="Name another one with --dir",
            )  # fmt: skip
        stop(plan, voice)
        shutil.rmtree(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / MARK).touch()


def prepare_cohorts(plan: DemoPlan, voice: Voice) -> None:
    """Patients are made while the instances start; every site prepares its cohort as soon as it has both."""
    places, halt, up = make_plan(plan.stack, plan.sites), threading.Event(), threading.Event()
    made = {site: threading.Event() for site in plan.sites}

    def make_all() -> None:
        for hospital in plan.hospitals:
            make_patients(plan, hospital, voice, halt)
            made[hospital.site].set()

    def prepare_one(site: str) -> None:
        for needed in (made[site], up):
            while not needed.wait(0.5) and not halt.is_set():
                pass
        if not halt.is_set():
            prepare(plan, site, voice)

    def give_up() -> None:
        halt.set()
        stop(plan, voice)

    with together([make_all, *(partial(prepare_one, site) for site in plan.sites)], give_up=give_up):
        supervisor.up(places, say=voice.say)
        up.set()


def federate(plan: DemoPlan, voice: Voice) -> None:
    """Charter, approvals, rounds, evaluation, release."""
    dag_run = start_federation(plan, voice)
    with together([partial(approve, plan, site, voice) for site in plan.sites], give_up=partial(stop, plan, voice)):
        pass
    follow(plan, dag_run, voice)


def stop(plan: DemoPlan, voice: Voice) -> None:
    """End every process of the demo; nothing to do is fine too."""
    if (plan.stack / "stack.json").exists():
        supervisor.down(read_plan(plan.stack), say=voice.say)
