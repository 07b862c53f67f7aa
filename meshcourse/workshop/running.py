"""Start and stop a workshop: the hub, its proxy, the learners' sandboxes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

import meshcourse
from meshcourse.cluster import inotify
from meshcourse.core import files, paths
from meshcourse.core.errors import ClusterError, MissingPrerequisite
from meshcourse.course import chapters
from meshcourse.engine import binaries
from meshcourse.workshop import accounts, record, sandbox
from meshcourse.workshop.record import Workshop

PROXY: Final = "configurable-http-proxy"
PROXY_VERSION: Final = "5.3.0"
ANSWERS_WITHIN: Final = 300.0
ENDS_WITHIN: Final = 15.0
NPM_WITHIN: Final = 300.0
Report = Callable[[str], None]


def runs() -> bool:
    """Whether the hub's supervisor runs."""
    return files.is_locked(record.folder() / "supervisor.lock")


def proxy(report: Report) -> str:
    """The hub's proxy, a Node.js program; fetched once from npm's registry. Raises MissingPrerequisite."""
    if found := shutil.which(PROXY):
        return found
    folder = paths.cache() / "proxy" / PROXY_VERSION
    program = folder / "node_modules" / ".bin" / PROXY
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and program.exists():
        return str(program)
    if not node or not npm:
        lacking = " and ".join(name for name, path in (("Node.js", node), ("npm", npm)) if not path)
        raise MissingPrerequisite(
            f"Not installed: {lacking}.",
            why=f"JupyterHub's proxy, {PROXY}, is a Node.js program",
            next="sudo apt install nodejs npm    # or what your system calls them",
        )
    report(f"npm install {PROXY}@{PROXY_VERSION} (once)")
    words = [npm, "install", "--loglevel=error", "--fetch-retries=1", "--no-fund", "--no-audit", "--prefix", str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run([*words, f"{PROXY}@{PROXY_VERSION}"], capture_output=True, text=True, check=False, timeout=NPM_WITHIN)
        lines = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.strip()]
        why = next((line for line in lines if "Error:" in line), lines[0] if lines else "npm gives no reason")
    except subprocess.TimeoutExpired:
        why = f"npm did not end within {NPM_WITHIN:.0f} s"
    if not program.exists():
        shutil.rmtree(folder, ignore_errors=True)
        next_words = f"npm install --global {PROXY}    # or, without a network: meshcourse workshop bundle, on a machine that has one"
        raise MissingPrerequisite(f"{PROXY} could not be installed.", why=why, next=next_words)
    return str(program)


def must_serve_accounts() -> None:
    """Raises MissingPrerequisite when other accounts of this machine cannot be served."""
    if os.geteuid() != 0:
        raise MissingPrerequisite(
            "--users local is for root.",
            why="only root may start servers as other accounts, and ask PAM about their passwords",
            next="sudo meshcourse workshop up ... --users local    # or without --users local: names and codes",
        )
    for path in (Path(sys.executable), Path(sys.base_prefix), Path(meshcourse.__file__), binaries.home(), chapters.folder()):
        for closed in (each for each in (path.resolve(), *path.resolve().parents) if not each.stat().st_mode & 0o001 and each.is_dir()):
            raise MissingPrerequisite(
                f"Other accounts of this machine cannot read {path}.",
                why=f"{closed} is closed to them",
                next="install the course and its Python below /opt    # or without --users local: names and codes",
            )


def free(address: str = "127.0.0.1", port: int = 0) -> int:
    """`port` of `address` if it is free, or any free one for 0. Raises ClusterError."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address, port))
            return int(tried.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            what, following = f"{address} is not an address of this machine.", "ip -brief address    # then --address with one of them"
        elif error.errno == errno.EACCES:
            what, following = f"Port {port} is for root only.", "meshcourse workshop up ... --port 8000"
        else:
            what, following = f"Port {port} of {address} is taken.", "meshcourse workshop up ... --port 8001    # or another one"
        raise ClusterError(what, why=f"{error.strerror or error}; `ss -ltnp 'sport = :{port}'` shows who has it", next=following) from error


def start(workshop: Workshop, report: Report) -> None:
    """Start the hub and wait until it answers. Raises ClusterError when it does not; nothing is left running then."""
    folder = record.folder()
    (folder / "logs").mkdir(exist_ok=True, mode=0o700)
    if os.geteuid() == 0 and (raised := _raise_inotify_limit(len(workshop.learners))):
        report(raised)
    given = {
        **os.environ,
        record.VARIABLE: str(folder),
        "PATH": os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")),
    }
    for name in ("MESHCOURSE_CLUSTER", "KUBECONFIG", "MESHCOURSE_COMMAND"):
        given.pop(name, None)
    words = [sys.executable, "-m", "meshcourse.workshop.supervisor"]
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(words, env=given, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    try:
        _wait(workshop, supervisor)
    except BaseException:
        stop(report)
        raise


def _wait(workshop: Workshop, supervisor: subprocess.Popen[bytes]) -> None:
    host = "127.0.0.1" if workshop.address in record.EVERY_ADDRESS else workshop.address
    url = f"http://{host}:{workshop.port}{workshop.base_url}hub/health"
    ends = time.monotonic() + ANSWERS_WITHIN
    while time.monotonic() < ends and supervisor.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    logs = [record.folder() / "logs" / name for name in ("hub.log", "supervisor.log")]
    log = next((path for path in logs if path.is_file() and path.stat().st_size), logs[-1])  # it may have ended before the hub began
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:] if log.is_file() else []
    raise ClusterError("The hub does not answer.", why="\n".join(last), next=f"less {log}")


def _raise_inotify_limit(learners: int) -> str:
    """Raise the kernel's limit for all sandboxes together: they count for the user who started them."""
    wanted, allowed = inotify.ENOUGH * max(1, learners), inotify.limit()
    if allowed is None or allowed >= wanted:
        return ""
    try:
        inotify.LIMIT.write_text(f"{wanted}\n", encoding="ascii")
    except OSError as error:
        return f"{inotify.SETTING} stays {allowed} ({error.strerror}): enough for {inotify.sidecars(allowed)} sidecars in all"
    return f"{inotify.SETTING} was {allowed}; it is {wanted} until the next boot"


def sandboxes() -> tuple[str, ...]:
    """The accounts whose sandboxes run."""
    return tuple(sorted(lock_file.stem for lock_file in (record.folder() / "sandboxes").glob("*.lock") if files.is_locked(lock_file)))


def stop(report: Report) -> bool:
    """End the hub, its proxy and every sandbox with all that is in it; whether there was anything."""
    supervisor = record.folder() / "supervisor.lock"
    ran = runs()
    if ran:
        report("the hub ends")
        with contextlib.suppress(ValueError, OSError):
            os.kill(int(supervisor.read_text(encoding="ascii")), signal.SIGTERM)
    deadline = time.monotonic() + ENDS_WITHIN
    while files.is_locked(supervisor) and time.monotonic() < deadline:
        time.sleep(0.05)
    if files.is_locked(supervisor):  # a hub that does not listen
        with contextlib.suppress(ValueError, OSError):
            os.killpg(int(supervisor.read_text(encoding="ascii")), signal.SIGKILL)
    _end_process_of(record.folder() / "proxy.pid", PROXY)
    running = sandboxes()
    for account in running:
        report(f"{account}'s JupyterLab and cluster end")
        sandbox.end(record.folder() / "sandboxes" / f"{account}.lock")
    workshop = record.read()
    for learner in (each for each in ((workshop.instructor, *workshop.learners) if workshop else ()) if not each.code):
        report(f"{learner.account}'s JupyterLab and cluster end")
        if failed := accounts.end(learner.account):
            report(f"! {learner.account}: {failed}")
    deadline = time.monotonic() + ENDS_WITHIN
    while sandboxes() and time.monotonic() < deadline:
        time.sleep(0.05)
    if left := sandboxes():
        raise ClusterError(f"The sandboxes of {', '.join(left)} do not end.", next=f"fuser -v {record.folder()}/sandboxes/*.lock")
    return ran or bool(running)


def _end_process_of(file: Path, program: str) -> None:
    """End the process that `file` names, if it is still that program."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(file.read_text(encoding="ascii"))
        if program in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace"):
            os.kill(pid, signal.SIGTERM)


def remove() -> None:
    """Delete the workshop's folder. Nothing of it may run."""
    shutil.rmtree(record.folder(), ignore_errors=False)
