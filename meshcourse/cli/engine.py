"""`meshcourse engine`: list, build and pack the upstream programs, and delete old ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from meshcourse.cli import display
from meshcourse.core import settings

app = typer.Typer(
    help="""Build and find the upstream programs: Kubernetes, etcd, Istio, CoreDNS, fortio and go-httpbin.

    \b
    meshcourse engine            list the programs, their versions and their folder
    meshcourse engine build      build them (about eight minutes on two cores)
    meshcourse engine wheel      pack them for machines without Go
    meshcourse engine prune      delete the programs of older versions
    """,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        status()


@app.command()
def status() -> None:
    """Show each program, the version pinned in engine/go.mod, and whether it has been built."""
    from meshcourse.engine import binaries

    home = binaries.home()
    absent = binaries.missing(home)
    versions = binaries.versions() | {"istio.io/istio": settings.ISTIO}  # its module has a date for a version
    rows = [(each.name, versions[each.module], each.module, "no" if each.name in absent else "yes") for each in binaries.PROGRAMS]
    display.table(("program", "version", "Go module", "built"), rows)
    display.console.print(f"{'Not built yet' if absent else 'Folder'}: {home}", soft_wrap=True)
    manifest = home / binaries.MANIFEST
    if manifest.is_file():
        made = json.loads(manifest.read_text(encoding="utf-8"))
        display.console.print(f"Built with Go {made['go']} in {made['seconds']:.0f} s.")


@app.command()
def build() -> None:
    """Build the programs, unless that is done. Ctrl-C is safe: the next build continues where this one stopped."""
    from meshcourse.engine import build as building

    display.done(f"the engine is in {building.ensure(tidy=True)}")


@app.command()
def wheel(folder: Annotated[Path, typer.Option("--out", help="Where to write the wheel.")] = Path("dist")) -> None:
    """Pack the programs into a wheel, meshcourse-engine: other machines install it instead of building.

    \b
    meshcourse engine wheel --out dist
    pip install dist/meshcourse_engine-*.whl
    """  # noqa: D301 - \\b tells click to keep the lines
    from meshcourse.core import progress
    from meshcourse.engine import build as building
    from meshcourse.engine import wheel as packing

    home = building.ensure(tidy=True)
    with progress.step("Packing the engine into a wheel"):
        path = packing.pack(home, folder)
    display.done(f"{os.path.relpath(path)} ({path.stat().st_size / 1e6:.0f} MB)")


@app.command()
def prune() -> None:
    """Delete the programs of older versions of the package, and what their unfinished builds left."""
    from meshcourse.engine import build as building

    display.done(f"{building.prune() / 1e6:.0f} MB freed")
