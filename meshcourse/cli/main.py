"""`meshcourse`: all commands, and how errors look in a terminal."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

import meshcourse
from meshcourse.cli import doctor, down, engine, env, images, lab, logs, node, notebooks, progress, status, up, workshop
from meshcourse.cli.display import report, show_error
from meshcourse.core.errors import CourseError, MeshcourseError

HELP = """Learn Istio by doing: a real Kubernetes, a real Istio and real Envoys on this machine, without Docker.

A first session:

    meshcourse doctor                 what this machine has and lacks

    meshcourse up                     a cluster with Istio's demo profile

    meshcourse lab                    the notebooks, in JupyterLab

    meshcourse progress               the exercises that you have passed, and the next chapter

    eval "$(meshcourse env)"          kubectl and istioctl for this terminal

    meshcourse down                   stop the cluster; nothing is left behind
"""

OF_DEV = ("jupytext", "nbval", "papermill")
"""What only `meshcourse notebooks` imports."""
FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = 130
"""typer's exit code after Ctrl-C, as in shells: 128 plus the signal's number."""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meshcourse {meshcourse.__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")]


@app.callback()
def _options(version: Version = False) -> None:
    pass


for command in (doctor, up, status, down, env, logs, lab, progress):
    app.command()(getattr(command, command.__name__.rpartition(".")[2]))
app.add_typer(node.app, name="node")
app.add_typer(images.app, name="images")
app.add_typer(engine.app, name="engine")
app.add_typer(notebooks.app, name="notebooks")
app.add_typer(workshop.app, name="workshop")


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    try:
        app()
    except MeshcourseError as error:
        if os.environ.get("MESHCOURSE_DEBUG"):
            raise
        show_error(error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL or os.environ.get("MESHCOURSE_DEBUG"):
            raise
        where = os.path.dirname(str(error.filename)) if error.filename else ""  # noqa: PTH120 - "." stays empty
        following = f"df -h {where}".strip() + "    # make room, then the same command again"
        show_error(CourseError("There is no room left on the disk.", why=str(error), next=following))
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in OF_DEV:
            raise
        why, following = "it comes with the extra `dev`", "pip install 'meshcourse[dev]'    # in a checkout: pip install -e '.[dev]'"
        show_error(CourseError(f"The Python package {error.name} is not installed.", why=why, next=following))
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            report("stopped by Ctrl-C; run the same command to continue")
        raise


if __name__ == "__main__":
    main()
