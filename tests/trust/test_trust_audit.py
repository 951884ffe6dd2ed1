"""The audit log notices every edit and survives being killed while it writes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from konsil.errors import BadInput
from konsil.trust.audit import Audit, Published

ROOT = Path(__file__).parents[2]


@pytest.fixture
def audit(tmp_path) -> Audit:
    log = Audit(tmp_path / "audit.jsonl")
    for number in range(3):
        log.append("round published", round=number, cases=8)
    return log


def test_an_untouched_log_holds(audit):
    assert audit.verify() == 3
    assert Audit(audit.path.with_name("none.jsonl")).verify() == 0


@pytest.mark.parametrize(
    ("words", "edit"),
    [
        ("line 1 on: this entry was edited", lambda lines: [lines[0].replace(b":8", b":9"), *lines[1:]]),
        ("line 1 on: this line is no entry", lambda lines: [b"{}\n", *lines[1:]]),
        ("line 1 on: entries are missing", lambda lines: lines[1:]),
        ("line 2 on: entries are missing", lambda lines: [lines[0], lines[2]]),
        ("line 2 on: entries were moved", lambda lines: [lines[0], lines[0], *lines[1:]]),
        ("line 4 on: entries were moved", lambda lines: [*lines, lines[2]]),
        ("line 3 on: it is cut in the middle", lambda lines: [*lines[:2], lines[2][:-10]]),
    ],
)
def test_every_edit_is_named(audit, words, edit):
    audit.path.write_bytes(b"".join(edit(audit.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(BadInput, match=words):
        audit.verify()


def test_an_entry_of_another_chain_is_noticed(audit, tmp_path):
    other = Audit(tmp_path / "other.jsonl")
    for _ in range(3):
        other.append("something else")
    lines, foreign = (log.path.read_bytes().splitlines(keepends=True) for log in (audit, other))
    audit.path.write_bytes(b"".join([lines[0], foreign[1], lines[2]]))
    with pytest.raises(BadInput, match="line 2 on: this entry was exchanged"):
        audit.verify()


def test_a_log_that_was_cut_or_made_anew_does_not_lead_to_its_published_heads(audit, tmp_path):
    published = [Published("the message run-1/charter", audit.head())]
    assert audit.verify(published) == 3
    audit.append("later")
    assert audit.verify(published) == 4
    lines = audit.path.read_bytes().splitlines(keepends=True)
    audit.path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(BadInput, match="ends after 2 entries, but the message run-1/charter says that it had 3"):
        audit.verify(published)
    anew = Audit(tmp_path / "anew.jsonl")
    for number in range(5):
        anew.append("round published", round=number, cases=9)
    assert anew.verify() == 5
    with pytest.raises(BadInput, match="was rewritten: entry 3"):
        anew.verify(published)


def test_the_head_is_found_behind_long_lines(audit):
    audit.append("long", text="x" * 20_000)
    assert audit.head() == (4, audit.append("short") and list(audit.entries())[3]["hash"])
    assert audit.verify() == 5


def test_a_half_written_line_is_removed_by_the_next(audit):
    with audit.path.open("ab") as log:
        log.write(b'{"event":"killed')
    audit.append("restarted")
    assert audit.verify() == 4


def test_several_writers_make_one_chain(audit):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: audit.append("parallel", n=number), range(12)))
    assert audit.verify() == 15


def test_the_log_is_for_this_user_only(audit):
    assert audit.path.stat().st_mode & 0o777 == 0o600


def test_the_specification_lists_every_event_with_its_facts():
    written, listed = events_written(), events_listed()
    assert set(written) == set(listed)
    for event, facts in written.items():
        assert facts - set(re.findall(r"\w+", listed[event])) == set(), event


def events_listed() -> dict[str, str]:
    """Event → the line of docs/formats/audit.md that tells of it."""
    table = (ROOT / "docs" / "formats" / "audit.md").read_text().split("| event | where |")[1].split("\n\n")[0]
    return {event: line for line in table.splitlines() for event in re.findall(r"`([^`]+)`", line.split("|")[1])}


def events_written() -> dict[str, set[str]]:
    """Event → the facts that stand where the library writes it; those it hands on as a whole are not seen."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src" / "konsil").rglob("*.py"):
        text = path.read_text()
        if "trust.audit import" in text:
            for function in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)):
                for event, facts in appended(function):
                    found.setdefault(event, set()).update(facts)
    return found


def appended(function: ast.FunctionDef) -> Iterator[tuple[str, set[str]]]:
    """(event, facts) of every call `Audit(…).append(…)` or `…_audit.append(…)`; an event may be chosen just before."""
    chosen = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call in ast.walk(function):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append"):
            continue
        log = ast.unparse(call.func.value)
        if log.startswith("Audit(") or log.endswith("_audit"):
            event = call.args[0]
            named = chosen[event.id] if isinstance(event, ast.Name) else event
            choices = [named.body, named.orelse] if isinstance(named, ast.IfExp) else [named]
            for choice in choices:
                yield ast.literal_eval(choice), {fact.arg for fact in call.keywords if fact.arg}
