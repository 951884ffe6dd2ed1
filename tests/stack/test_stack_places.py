"""A plan keeps its addresses and refuses names it cannot use."""

from pathlib import Path

import pytest

from konsil.errors import BadInput, Missing
from konsil.stack.places import free_ports, make_plan, read_plan


def test_ports_are_kept_for_the_next_start(tmp_path: Path) -> None:
    first = make_plan(tmp_path, ["A", "B"])
    assert make_plan(tmp_path, ["A", "B"]) == first == read_plan(tmp_path)


def test_the_centre_comes_first_and_every_place_has_its_own_port_and_prefix(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ["B", "A"])
    assert [place.name for place in plan.places] == ["centre", "B", "A"]
    assert [place.prefix for place in plan.places] == ["/centre", "/site-b", "/site-a"]
    assert len({place.port for place in plan.places} | {plan.s3_port}) == 4


def test_a_base_port_gives_neighbouring_ports(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ["A"], base_port=8080)
    assert [place.port for place in plan.places] == [8080, 8081]
    assert plan.s3_port == 8082


def test_a_stack_of_other_sites_is_refused(tmp_path: Path) -> None:
    make_plan(tmp_path, ["A", "B"])
    with pytest.raises(BadInput, match="other sites; expected A, B; got A, C"):
        make_plan(tmp_path, ["A", "C"])


@pytest.mark.parametrize("sites", [["centre"], ["a/b"], [""], ["A", "a"], ["-x"]])
def test_unusable_names_are_refused(tmp_path: Path, sites: list[str]) -> None:
    with pytest.raises(BadInput):
        make_plan(tmp_path, sites)
    assert not (tmp_path / "stack.json").exists()


def test_no_stack_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="konsil stack up"):
        read_plan(tmp_path)


def test_only_names_places_that_exist(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ["A", "B"])
    assert [place.name for place in plan.only(["B"])] == ["B"]
    assert plan.only([]) == plan.places
    with pytest.raises(BadInput, match="got Z"):
        plan.only(["Z"])


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
