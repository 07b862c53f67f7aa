"""`meshcourse notebooks`: make notebooks and their pictures from their sources, and execute them. For authors, in a checkout."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.core.errors import CourseError

if TYPE_CHECKING:
    from meshcourse.authoring.clusters import Place
    from meshcourse.authoring.rehearsal import Run


Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these, such as 05_canary or 5.")]

app = typer.Typer(
    help="""For authors: make notebooks/*.ipynb from notebooks/source/*.py, and pictures/*.svg from source/pictures/*.yaml.

    \b
    meshcourse notebooks build [05_canary]
    meshcourse notebooks check                 compare them with their sources
    meshcourse notebooks run [05_canary]       execute them, with solutions and without
    meshcourse notebooks site                  make web pages of the executed ones
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
    """Write notebooks and pictures from their sources: all of them, or those named."""
    from meshcourse.authoring import notebooks as generator
    from meshcourse.authoring import pictures

    folder = _folder()
    made = generator.build(folder / "source", folder, names=names or ())
    stems = [path.stem for path in made] if names else None
    for path in (*made, *pictures.build(folder / "source" / pictures.FOLDER, folder / pictures.FOLDER, of=stems)):
        display.done(str(path.relative_to(folder.parent)))


@app.command()
def check() -> None:
    """List notebooks and pictures that differ from their sources; exit code 1 when there are any."""
    from meshcourse.authoring import notebooks as generator
    from meshcourse.authoring import pictures

    folder = _folder()
    complaints = generator.check(folder / "source", folder)
    complaints += pictures.check(folder / "source" / pictures.FOLDER, folder / pictures.FOLDER)
    if complaints:
        raise CourseError("Notebooks and sources differ.", why="; ".join(complaints), next="meshcourse notebooks build")
    display.done("every notebook and picture is what its source makes")


@app.command()
def run(  # noqa: PLR0913, PLR0917 - each is an option
    names: Names = None,
    solutions: Annotated[bool, typer.Option("--solutions", help="Execute the solved copies.")] = False,
    untouched: Annotated[bool, typer.Option("--untouched", help="Execute the learner's copies.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Execute both (the default).")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=8, help="Chapters at a time, each on its own cluster (1 GB).")] = 1,
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="backend=embedded, kind or existing.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Use this running cluster instead of new ones.")] = None,
    compare: Annotated[bool, typer.Option(help="Execute solved copies again with nbval and compare.")] = True,
    out: Annotated[Path, typer.Option("--out", help="Where the executed copies and the table of run times go.")] = Path("build/notebooks"),
) -> None:
    """Execute chapters with papermill: every check must give the expected result. New clusters are stopped at the end.

    \b
    meshcourse notebooks run --jobs 2
    meshcourse notebooks run 05_canary --solutions
    meshcourse notebooks run 5 --name my-mesh --no-compare
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.authoring import notebooks as generator
    from meshcourse.authoring import rehearsal
    from meshcourse.authoring.transcript import Variant

    folder, given = _folder(), _parameters(parameter or ())
    stems = [path.stem for path in generator.chosen(folder / "source", "py", names or ())]
    everything = both or solutions == untouched
    wanted = [each for each in Variant if everything or (each is Variant.SOLVED) == solutions]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a CI job that is cancelled ends as Ctrl-C does
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meshcourse-") as state, _places(state, jobs, name, given) as places:
        stage = rehearsal.Rehearsal(folder, out.resolve(), places, parameters=given, compare=stems if compare else ())
        try:
            futures = [stage.submit(stem, each) for each in wanted for stem in stems]
            for future in concurrent.futures.as_completed(futures):
                _say(future.result())
        finally:
            stage.close()
    runs = [future.result() for future in futures]
    _, text = rehearsal.keep(runs, out.resolve(), wall=time.monotonic() - started)
    typer.echo(text.read_text(encoding="utf-8"), nl=False)
    wrong = [run for run in runs if run.complaints]
    if wrong:
        why = "\n".join(f"{run.stem} {run.variant.value}: {complaint}" for run in wrong for complaint in run.complaints)
        raise CourseError("Some chapters did not run as expected.", why=why, next=f"look at {wrong[0].path}")


@app.command()
def site(
    executed: Annotated[Path, typer.Option("--executed", help="Where `run` left the solved copies.")] = Path("build/notebooks/solved"),
    out: Annotated[Path, typer.Option("--out", help="Where the site goes; emptied first.")] = Path("build/site"),
) -> None:
    """Make web pages of the solved copies that `run` has executed, and check their links."""
    from meshcourse.authoring import links
    from meshcourse.authoring import site as pages

    written = pages.build(executed.resolve(), _folder(), out.resolve())
    complaints = links.check(out.resolve())
    if complaints:
        raise CourseError("The site has broken links.", why="; ".join(complaints), next="correct the sources that hold them")
    display.done(f"{len(written)} pages, every link leads somewhere")
    typer.echo(written[0].as_uri())


def _say(run: Run) -> None:
    words = f"{run.stem} {run.variant.value} {run.reading.seconds:.1f} s"
    if run.complaints:
        display.report(f"✘ {words}: {'; '.join(run.complaints)}")
    else:
        display.done(words)


@contextlib.contextmanager
def _places(state: str, jobs: int, name: str | None, parameters: Mapping[str, str]) -> Iterator[Sequence[Place]]:
    """The clusters to run on. New ones keep their state in a temporary folder, apart from your other clusters."""
    from meshcourse.authoring import clusters

    existing = parameters.get("backend") == "existing"
    if (name or existing) and jobs > 1:
        raise CourseError("One cluster cannot run two chapters at a time.", why="they share its gateway", next="leave out --jobs")
    if name or existing:
        yield [clusters.existing() if existing else clusters.running(str(name))]
        return
    os.environ["MESHCOURSE_STATE"] = state
    with clusters.new(jobs, display.report) as made:
        yield made


def _parameters(given: Sequence[str]) -> dict[str, str]:
    from meshcourse.course import parameters

    pairs = dict(word.partition("=")[::2] for word in given)
    unknown = sorted(set(pairs) - set(parameters.NAMES))
    if unknown or not all(pairs.values()):
        raise CourseError(
            f"-p {' -p '.join(given)} cannot be used.",
            why=f"the only parameter is {', '.join(parameters.NAMES)}",
            next="meshcourse notebooks run -p backend=existing",
        )
    return pairs


def _folder() -> Path:
    """The notebooks of the checkout. Raises CourseError outside of one."""
    for folder in (Path.cwd() / "notebooks", Path(__file__).resolve().parents[2] / "notebooks"):
        if (folder / "source").is_dir():
            return folder
    raise CourseError(
        "There are no notebook sources here.", why="notebooks/source is only in a checkout of the course.", next="cd to the checkout"
    )
