"""conda's environment.yml gives what `make course` gives: the same packages, by the same lists, and a Go that can build the engine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from meshcourse.engine import toolchain

ROOT = Path(__file__).parents[2]


def environment() -> list[Any]:
    listed: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return listed


def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return content


def by_pip() -> list[str]:
    (found,) = [each["pip"] for each in environment() if isinstance(each, dict)]
    return [str(each) for each in found]


def requirements(listed: list[str], content: dict[str, Any]) -> set[str]:
    """What pip would install, in the end: a checkout with extras stands for the lists of pyproject.toml."""
    wanted: set[str] = set()
    for line in listed:
        own = re.fullmatch(r"(?:--editable|-e) \.(?:\[(?P<extras>[\w,]+)\])?", line)
        if own is None:
            wanted.add(line)
            continue
        wanted |= set(content["dependencies"])
        for extra in filter(None, (own["extras"] or "").split(",")):
            wanted |= set(content["optional-dependencies"][extra])
    return wanted


def by_make() -> list[str]:
    """The `pip install` of the Makefile's target .course, which every learner's environment is made by."""
    recipe = (ROOT / "Makefile").read_text().partition("$(VENV)/.course:")[2].partition("\n\n")[0]
    first = re.search(r"\$\(PIP\) install --editable '(\.\[\w+(?:,\w+)*\])'", recipe)
    assert first is not None
    return [f"--editable {first[1]}"]


def test_conda_and_make_ask_for_the_same_packages() -> None:
    assert requirements(by_pip(), project()) == requirements(by_make(), project())


def test_conda_brings_the_python_that_the_package_needs_and_the_go_of_the_engine() -> None:
    plain = {re.split(r"[<>=]", each)[0]: each for each in environment() if isinstance(each, str)}
    assert plain["python"].partition(",")[0] == f"python{project()['requires-python']}"
    assert plain["go"].split("#")[0].strip() == f"go>={'.'.join(map(str, toolchain.OLDEST))}"
    assert "pip" in plain
    assert set(plain) == {"python", "go", "pip"}, "another package here would have to be one of pyproject.toml's too"
