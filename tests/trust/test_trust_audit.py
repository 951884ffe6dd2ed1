"""The audit log notices every edit and survives being killed while it writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from konsil.errors import BadInput
from konsil.trust.audit import Audit, Published


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
