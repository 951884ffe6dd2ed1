"""The audit log notices every edit and survives being killed while it writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from konsil.errors import BadInput
from konsil.trust.audit import Audit


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
    "edit",
    [
        lambda lines: [lines[0].replace(b'"cases":8', b'"cases":9'), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [*lines, lines[2]],
        lambda lines: [*lines[:2], lines[2][:-10]],
    ],
)
def test_every_edit_is_noticed(audit, edit):
    audit.path.write_bytes(b"".join(edit(audit.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(BadInput, match="does not fit from line"):
        audit.verify()


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
