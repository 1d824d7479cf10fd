"""What the README claims and a command can check."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from streamfx.cli import build_parser
from streamfx.models.store import Store
from streamfx.portrait import deform

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
USAGE = (ROOT / "docs" / "usage.md").read_text("utf-8")
PAGES = {
    path: path.read_text("utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def commands() -> list[str]:
    """Every streamfx command line in the shell blocks of README and usage, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", README + USAGE, re.DOTALL)
    lines = (re.split(r"#| \| ", line)[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("streamfx ")]


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one(line: str):
    arguments = build_parser().parse_args(shlex.split(line)[1:])
    assert callable(arguments.run)


def test_the_readme_shows_the_main_commands():
    shown = {shlex.split(line)[1] for line in commands()}
    assert {"render", "record"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    links = set(re.findall(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)", PAGES[page]))
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []


def test_the_readme_is_read_in_one_go():
    assert len(README.splitlines()) <= 150
    assert (ROOT / "docs" / "demo.webp").stat().st_size < 3_000_000


@pytest.mark.parametrize("script", sorted(set(re.findall(r"`?(scripts/[a-z-]+)", README))))
def test_every_script_named_can_be_run(script: str):
    assert (ROOT / script).stat().st_mode & 0o111


def test_the_head_follows_as_far_as_it_says():
    said = re.search(r"about (\d+) degrees of turn, (\d+) of nod and (\d+) of tilt", README)
    assert said
    limits = np.degrees([deform._YAW, deform._PITCH, deform._ROLL])
    assert [int(angle) for angle in said.groups()] == [round(limit) for limit in limits]


def test_the_demo_fetches_three_files():
    assert "three small files" in README
    assert len(Store.default().list()) == 3


def test_no_torch_is_needed():
    assert "no torch" in README
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert not [one for one in project["dependencies"] if one.startswith(("torch", "lightning"))]
    assert [one for one in project["optional-dependencies"]["train"] if one.startswith("torch")]


RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.compile(r"`((?:mutated/|vcam_vm/)?test_\w+\.py)?(?:::)?((?:(?<=::)\w+(?:::)?)*)`")


def named_tests() -> set[tuple[str, str]]:
    """Of each row of docs/reliability.md, files and what is named in them: `::name` is of the file before."""
    found: set[tuple[str, str]] = set()
    for line in RELIABILITY.splitlines():
        file = ""
        for given, names in NAMED.findall(line):
            file = given or file
            found |= {(file, name) for name in names.split("::") if file} if names or given else set()
    return found


@pytest.mark.parametrize(("file", "name"), sorted(named_tests()))
def test_what_is_said_to_show_reliability_is_there(file: str, name: str):
    text = (ROOT / "tests" / file).read_text("utf-8")
    assert not name or re.search(rf"^ *(def|class) {name}\b", text, re.MULTILINE)


def test_tests_and_scripts_of_reliability_are_found():
    assert len(named_tests()) > 100
    for script in set(re.findall(r"scripts/[a-z-]+", RELIABILITY)):
        assert (ROOT / script).stat().st_mode & 0o111, script
