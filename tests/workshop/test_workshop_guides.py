"""The guides name only what there is: verbs, options, settings, screens, pictures, links, and sentences that are said.

In a guide, *italic* is what stands on a screen, word by word; "quoted" is a part of what the program says; code is
typed. Airflow's own words are listed here.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click import Context
from typer.main import get_command

from konsil.cli.app import assemble
from konsil.settings import Settings

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PEOPLE = {"staff", "reviewer", "custodian", "operator", "data-scientist", "ml-engineer", "it"}
AIRFLOW = {"Dags", "Trigger", "Browse", "Required Actions", "Reject", "Details"}
TEMPLATES = tuple(f"{place}/templates/*.{kind}" for place in ("plugins", "src/konsil/quality") for kind in ("j2", "js"))
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
ITALIC = re.compile(r"(?<![*\w])\*([^*]+)\*(?![*\w])")


def words_of(text: str) -> str:
    """The prose of a page on one line: without code, bold marks, and pictures."""
    prose = INDENTED.sub("", FENCED.sub("", text))
    plain = re.sub(r"`[^`]+`|!\[[^\]]*\]\([^)]*\)", "", prose)
    return re.sub(r"\s+", " ", plain.replace("**", ""))


def typed(text: str) -> list[str]:
    """What stands in code: spans and blocks, line by line."""
    blocks = [*FENCED.findall(text), *INDENTED.findall(text)]
    return SPAN.findall(FENCED.sub("", text)) + [line.strip() for block in blocks for line in block.splitlines()]


@cache
def screens() -> frozenset[str]:
    """What can stand on a screen by itself: whole strings of DAGs, operators, plugins, and whole texts of the tabs.

    The numbers that order the DAGs are left out.
    """
    found = set(AIRFLOW)
    for path in files("dags/*.py", "operators/*.py", "plugins/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"^\d+ · ", "", node.value))
    for path in files(*TEMPLATES):
        for text, string in re.findall(r">([^<>{}]+)<|\"([^\"\n]+)\"", path.read_text()):
            found.add((text or string).strip())
    return frozenset(found)


@cache
def said() -> str:
    """Everything the program can say, one after the other; a string that is written in two pieces is one."""
    texts = [path.read_text() for path in files("src/konsil/**/*.py", "operators/*.py", "plugins/*.py", *TEMPLATES)]
    return re.sub(r"\"\s+f?\"", "", "\n".join(texts))


def files(*patterns: str) -> list[Path]:
    """The files of the repository that fit."""
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_everybody_has_a_guide_and_the_readme_leads_to_it() -> None:
    assert {path.stem for path in GUIDES} == PEOPLE
    readme = (ROOT / "README.md").read_text()
    assert [name for name in sorted(PEOPLE) if f"(docs/guides/{name}.md)" not in readme] == []


@pytest.mark.parametrize("guide", [path for path in GUIDES if path.stem != "it"], ids=lambda path: path.stem)
def test_a_guide_is_a_page(guide: Path) -> None:
    assert len(guide.read_text().splitlines()) <= 60


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_what_is_italic_stands_on_a_screen(guide: Path) -> None:
    assert [name for name in ITALIC.findall(words_of(guide.read_text())) if name not in screens()] == []


@pytest.mark.parametrize("dag", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_what_is_italic_in_the_text_of_a_dag_stands_on_a_screen(dag: Path) -> None:
    text = re.search(r'^DOC = """(.*?)"""', dag.read_text(), re.DOTALL | re.MULTILINE)
    assert text is not None
    named = ITALIC.findall(re.sub(r"\s+", " ", text[1].replace("**", "")))
    assert [name for name in named if name not in screens()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_what_is_quoted_is_said(guide: Path) -> None:
    quoted = re.findall(r"\"([^\"]+)\"", words_of(guide.read_text()))
    parts = [part.strip() for text in quoted for part in text.split("…") if part.strip()]
    assert [part for part in parts if part not in said()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_command_exists_with_its_options(guide: Path) -> None:
    wrong = []
    for line in typed(guide.read_text()):
        for command in re.findall(r"(?<![\w./-])konsil ([a-z].*)", line):
            found = fault(command.split())
            wrong += [f"konsil {command}: {found}"] if found else []
    assert wrong == []


@cache
def entrance() -> Any:
    """The command `konsil`."""
    return get_command(assemble())


def fault(words: list[str]) -> str:
    """What is wrong with a command line, apart from the values of its arguments."""
    command = entrance()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(Context(command), name)
        if command is None:
            return f"there is no {name}"
    known = {option for param in command.params for option in param.opts}
    return ", ".join(word for word in words if word.startswith("--") and word not in known)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_setting_exists(guide: Path) -> None:
    compose = (ROOT / "docker-compose.yaml").read_text()
    named = {name for line in typed(guide.read_text()) for name in re.findall(r"KONSIL_[A-Z_]+", line)}
    known = {f"KONSIL_{name.upper()}" for name in Settings.model_fields}
    assert sorted(name for name in named - known if f"{{{name}" not in compose) == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_link_and_picture_is_there(guide: Path) -> None:
    missing = []
    for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]+))?\)", guide.read_text()):
        path = (guide.parent / target).resolve()
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if anchor and path.is_file() else []
        if not path.is_file() or (anchor and anchor not in map(slug, headings)):
            missing.append(f"{target} {anchor}".strip())
    assert missing == []


def test_every_picture_is_shown_on_some_page() -> None:
    pages = "\n".join(path.read_text() for path in files("README.md", "docs/**/*.md"))
    assert [path.name for path in files("docs/images/*") if f"images/{path.name})" not in pages] == []
