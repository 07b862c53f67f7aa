"""`meshcourse down`: stop a cluster, or all of them.

Comes in: a name or --all. Goes out: nothing is left of it but its logs; exit code 0 too when it did not run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.cli.options import DEFAULT_NAME, Name


def down(
    name: Name = DEFAULT_NAME, every: Annotated[bool, typer.Option("--all", help="Every cluster of yours that runs.")] = False
) -> None:
    """Stop a cluster. Its pods and everything stored in it are gone; its logs and your notebooks stay.

    \b
    meshcourse down
    meshcourse down --all
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.backends import embedded

    if not every:
        stopped = embedded.Embedded(name).down()
        display.done(f"cluster {name} is stopped" if stopped else f"cluster {name} does not run")
        return
    running = embedded.running()
    for cluster in running:
        cluster.down()
        display.done(f"cluster {cluster.name} is stopped")
    if not running:
        display.done("no cluster runs")
