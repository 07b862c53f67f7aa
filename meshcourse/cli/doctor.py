"""`meshcourse doctor`: what this machine has and lacks, line by line, with the command that mends each.

Comes in: this machine. Goes out: a table, exit code 1 when something is missing. `checked` is what `up` runs first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from meshcourse.cli import display
from meshcourse.core.errors import EngineError, MeshcourseError, MissingPrerequisite

if TYPE_CHECKING:
    from meshcourse.cluster.prerequisites import Check


def doctor() -> None:
    """Show what this machine has and lacks, and the exact command that brings what is missing.

    \b
    meshcourse doctor
    """  # noqa: D301 - \\b tells click to keep the lines
    checks = [*_machine(), *_programs()]
    rows = [("✔" if each.ok else "✘", each.name, each.found) for each in checks]
    display.table(("", "what", "found"), rows)
    failed = [each for each in checks if not each.ok]
    for each in failed:
        display.show_error(MissingPrerequisite(f"{each.name}: {each.found}", why=each.why, next=each.fix))
    if failed:
        raise typer.Exit(1)
    display.done("This machine can run the embedded cluster: meshcourse up")


def checked() -> None:
    """Raise MissingPrerequisite for the first thing that this machine lacks; the engine is not looked at, `up` builds it."""
    for each in _machine():
        if not each.ok:
            raise MissingPrerequisite(f"{each.name}: {each.found}", why=each.why, next=each.fix)


def _machine() -> tuple[Check, ...]:
    from meshcourse.cluster import prerequisites

    return prerequisites.check()


def _programs() -> list[Check]:
    """Programs from Python packages, and the engine or the Go that can build it."""
    from meshcourse.cluster.prerequisites import Check
    from meshcourse.engine import binaries, toolchain

    found = []
    for name, find in (
        ("Envoy", binaries.envoy),
        ("kubectl", binaries.kubectl),
        ("nginx", binaries.nginx),
        ("bubblewrap", binaries.bubblewrap),
    ):
        try:
            found.append(Check(name, ok=True, found=str(find()), why="", fix=""))
        except EngineError as error:
            found.append(Check(name, ok=False, found="not installed", why=error.why, fix=error.next))
    absent = binaries.missing()
    if not absent:
        return [*found, Check("engine", ok=True, found=f"built: {binaries.home()}", why="", fix="")]
    try:
        go = toolchain.find()
    except MeshcourseError as error:
        return [*found, Check("engine", ok=False, found="not built, and it cannot be", why=error.why, fix=error.next)]
    return [*found, Check("engine", ok=True, found=f"not built yet; `meshcourse up` builds it with {go}", why="", fix="")]
