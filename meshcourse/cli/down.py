"""`meshcourse down`: stop a cluster, or all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name
from meshcourse.core.errors import MeshcourseError

if TYPE_CHECKING:
    from meshcourse.backends.backend import Backend


def down(name: Name = DEFAULT_NAME, every: Annotated[bool, typer.Option("--all", help="All of your running clusters.")] = False) -> None:
    """Stop a cluster. Its pods and everything stored in it are deleted; its logs and your notebooks stay.

    A cluster that `up --backend existing` uses keeps running: only what lessons made in it is removed.

    \b
    meshcourse down
    meshcourse down --all
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import lookup

    if not every:
        cluster = lookup.find(name)
        stopped = cluster.down(display.report)
        display.done(_ended(cluster) if stopped else f"cluster {name} does not run")
        return
    running, failed = lookup.running(), False
    for cluster in running:
        try:
            cluster.down(display.report)
            display.done(_ended(cluster))
        except MeshcourseError as error:  # the others are still stopped
            display.show_error(error)
            failed = True
    if not running:
        display.done("no cluster runs")
    if failed:
        raise typer.Exit(1)


def _ended(cluster: Backend) -> str:
    from meshcourse.backends.existing import Existing

    return f"cluster {cluster.name} is {'no longer in use, and as it was before' if isinstance(cluster, Existing) else 'stopped'}"
