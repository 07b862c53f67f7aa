"""`meshcourse doctor`: what this machine has and lacks, line by line, with the command that fixes each."""

from __future__ import annotations

from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import BackendName
from meshcourse.core.errors import MissingPrerequisite


def doctor(
    backend: Annotated[BackendName, typer.Option("--backend", help="The kind of cluster to check for.")] = BackendName.EMBEDDED,
) -> None:
    """Show what this machine has and lacks, and the exact command that installs what is missing.

    \b
    meshcourse doctor
    meshcourse doctor --backend kind
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import readiness

    checks = readiness.of(backend.value)
    rows = [("✔" if each.ok else "✘", each.name, each.found) for each in checks]
    display.table(("", "what", "found"), rows)
    failed = [each for each in checks if not each.ok]
    for each in failed:
        display.show_error(MissingPrerequisite(f"{each.name}: {each.found}", why=each.why, next=each.fix))
    if failed:
        raise typer.Exit(1)
    asked = "" if backend is BackendName.EMBEDDED else f" --backend {backend}"
    display.done(f"This machine can run the {backend} backend: meshcourse up{asked}")


def checked() -> None:
    """Raise MissingPrerequisite for the first thing that this machine lacks; the engine is not checked, since `up` builds it."""
    from meshcourse.backends import readiness

    for each in readiness.machine():
        if not each.ok:
            raise MissingPrerequisite(f"{each.name}: {each.found}", why=each.why, next=each.fix)
