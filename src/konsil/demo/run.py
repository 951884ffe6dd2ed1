"""The demo from its first to its last line. Whatever ends it, nothing of it keeps running unless that was asked for."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

from konsil.demo.ending import summarise, tell_doors, tell_end
from konsil.demo.federating import approve_all, follow, start_federation
from konsil.demo.inboxes import fill_inboxes
from konsil.demo.plan import DemoPlan
from konsil.demo.preparing import prepare_all
from konsil.demo.voice import Voice
from konsil.errors import BadInput
from konsil.stack import supervisor
from konsil.stack.places import make_plan, read_plan
from konsil.types import Json

MARK = ".konsil-demo"


def run(plan: DemoPlan, voice: Voice, *, keep: bool = False) -> Json:
    """Everything; gives the summary. With `keep` the instances stay up when it went well."""
    clear(plan, voice)
    keeping = False
    try:
        set_up(plan, voice)
        prepare_all(plan, voice)
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


def set_up(plan: DemoPlan, voice: Voice) -> None:
    """The patients are made while the instances start."""
    places, halt = make_plan(plan.stack, plan.sites), threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        patients = pool.submit(fill_inboxes, plan, voice, halt)
        try:
            supervisor.up(places, say=voice.say)
            patients.result()
        finally:
            halt.set()


def federate(plan: DemoPlan, voice: Voice) -> None:
    """Charter, approvals, rounds, evaluation, release."""
    dag_run = start_federation(plan, voice)
    approve_all(plan, voice)
    follow(plan, dag_run, voice)


def stop(plan: DemoPlan, voice: Voice) -> None:
    """End every process of the demo; nothing to do is fine too."""
    if (plan.stack / "stack.json").exists():
        supervisor.down(read_plan(plan.stack), say=voice.say)
