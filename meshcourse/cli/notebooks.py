"""`meshcourse notebooks`: make the learner's notebooks and their pictures from their sources. For authors, in a checkout.

Comes in: notebooks/source/NN_topic.py and notebooks/source/pictures/NN_topic.yaml. Goes out: notebooks/NN_topic.ipynb and
notebooks/pictures/NN_topic.svg; `check` only says what differs, exit code 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.core.errors import CourseError

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these, such as 05_canary or 5.")]

app = typer.Typer(
    help="""For authors: make notebooks/*.ipynb from notebooks/source/*.py, and pictures/*.svg from source/pictures/*.yaml.

    \b
    meshcourse notebooks build [05_canary]
    meshcourse notebooks check      what CI runs: is every notebook what its source makes?
    """,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        build()


@app.command()
def build(names: Names = None) -> None:
    """Write notebooks and pictures anew from their sources: all of them, or those named."""
    from meshcourse.lab import notebooks as generator
    from meshcourse.lab import pictures

    folder = _folder()
    made = generator.build(folder / "source", folder, names=names or ())
    stems = [path.stem for path in made] if names else None
    for path in (*made, *pictures.build(folder / "source" / pictures.FOLDER, folder / pictures.FOLDER, of=stems)):
        display.done(str(path.relative_to(folder.parent)))


@app.command()
def check() -> None:
    """Say which notebooks and pictures are not what their sources make; exit code 1 when there are any."""
    from meshcourse.lab import notebooks as generator
    from meshcourse.lab import pictures

    folder = _folder()
    complaints = generator.check(folder / "source", folder)
    complaints += pictures.check(folder / "source" / pictures.FOLDER, folder / pictures.FOLDER)
    if complaints:
        raise CourseError("Notebooks and sources differ.", why="; ".join(complaints), next="meshcourse notebooks build")
    display.done("every notebook and picture is what its source makes")


def _folder() -> Path:
    """The notebooks of the checkout. Raises CourseError outside of one."""
    for folder in (Path.cwd() / "notebooks", Path(__file__).resolve().parents[2] / "notebooks"):
        if (folder / "source").is_dir():
            return folder
    raise CourseError(
        "There are no notebook sources here.", why="notebooks/source is only in a checkout of the course.", next="cd to the checkout"
    )
