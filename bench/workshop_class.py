"""A class on a real hub, all at once (minutes; not part of `make bench`): `python -m bench.workshop_class --learners 4`.

Each learner logs in, starts a server with a cluster, and executes solved chapters by papermill in a kernel reached through the hub; the
board is read meanwhile. Then the hub, one kernel and one cluster are killed. It prints figures as JSON, and fails when something was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import requests
from hub_user import HubUser
from waiting import until

from meshcourse.authoring import notebooks
from meshcourse.course import attempts, chapters
from meshcourse.workshop import monitoring, record, users

GOES_ON_WITHIN = 30.0
EXECUTE = """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", {name!r}, "done.ipynb"], capture_output=True, text=True)
print("code", done.returncode, done.stderr[-600:] if done.returncode else "")
"""
KILL_CLUSTER = """
import os, pathlib
for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"meshcourse.cluster.daemon" in file.read_bytes():
        os.kill(int(file.parent.name), 9)
"""


class Board:
    """The instructor's board, read again and again: when each outcome was seen first."""

    def __init__(self, instructor: HubUser, learners: Iterable[users.User]) -> None:
        self.learners = {each.account: each for each in learners}
        self.instructor, self.delays, self.memory, self.ends = instructor, list[float](), dict[str, int](), threading.Event()
        self._seen: set[tuple[str, str]] = set()

    def rows(self) -> dict[str, dict[str, Any]]:
        """By account."""
        answer = self.instructor.session.get(f"{self.instructor.url}services/board/learners", timeout=60).json()
        return {each["account"]: each for each in answer["learners"]}

    def watch(self) -> None:
        """Until `ends`; while the hub is away it is tried again, as the board's page does."""
        while not self.ends.wait(0.2):
            rows: dict[str, dict[str, Any]] = {}
            with contextlib.suppress(requests.RequestException):
                rows = self.rows()
            for account, row in rows.items():
                self.memory[account] = max(self.memory.get(account, 0), row["memory"])
                if (last := row["last"]) and (account, last["at"]) not in self._seen:
                    self._seen.add((account, last["at"]))
                    folder, names = record.state(self.learners[account])
                    written = attempts.file(folder.joinpath(*names, monitoring.PROGRESS)).stat().st_mtime
                    self.delays.append(time.time() - written)


def person(workshop: record.Workshop, user: users.User) -> HubUser:
    """Logged in."""
    found = HubUser(workshop.url, user.account)
    answer = found.log_in(user.name, user.code)
    if not answer.is_redirect:
        raise RuntimeError(answer.text)
    return found


@contextlib.contextmanager
def running(learners: int) -> Iterator[record.Workshop]:
    """A workshop of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="workshop-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        os.environ["MESHCOURSE_STATE"] = folder
        command = [sys.executable, "-m", "meshcourse.cli.main", "workshop"]
        subprocess.run([*command, "up", "--learners", str(learners), "--base-url", "/class/", "--port", port], cwd=folder, check=True)
        try:
            yield record.require()
        finally:
            subprocess.run([*command, "down", "--yes"], cwd=folder, check=True)


def work(person: HubUser, solved: list[Path]) -> float:
    """Execute the chapters; returns the seconds."""
    began = time.monotonic()
    for path in solved:
        name = f"solved-{path.name}"
        body = {"type": "notebook", "format": "json", "content": json.loads(path.read_text(encoding="utf-8"))}
        person.send("PUT", f"{person.server}api/contents/{name}", json=body).raise_for_status()
        said = person.run(f"import os; os.chdir(os.path.expanduser('~/state/notebooks')){EXECUTE.format(name=name)}", 1800)
        if "code 0" not in said:
            raise RuntimeError(f"{person.account}, {path.name}: {said}")
    return time.monotonic() - began


def kill(people: list[HubUser], board: Board) -> dict[str, float]:
    """Kill the hub, a kernel and a cluster: seconds until everybody, the board, the learner, the learner goes on."""
    found, first, last = dict[str, float](), people[0], people[-1]
    every = psutil.process_iter(["cmdline", "cwd"])
    (hub,) = (each.pid for each in every if each.info["cwd"] == str(record.folder()) and "jupyterhub" in (each.info["cmdline"] or ()))
    os.kill(hub, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(hub), 5)
    found["hub"] = until(lambda: all(quietly(each.is_served) for each in people), 120)
    found["board"] = found["hub"] + until(lambda: quietly(lambda: bool(board.rows())), 120)
    kernel = first.send("POST", f"{first.server}api/kernels", json={}).json()["id"]
    with contextlib.suppress(Exception):
        first._run(kernel, "import os; os.kill(os.getpid(), 9)", 5)  # noqa: SLF001 - the class is a test's
    found["kernel"] = until(lambda: quietly(lambda: "42" in first._run(kernel, "print(42)", 10)), 120)  # noqa: SLF001
    last.run(KILL_CLUSTER)
    until(lambda: board.rows()[last.account]["cluster"].startswith("not running"), 30)
    began = time.monotonic()
    last.run("from meshcourse import lab\nlab.chapter('00-start')", 600)
    found["cluster"] = time.monotonic() - began
    return found


def quietly(call: Callable[[], bool]) -> bool:
    """Whether it is so; False when it cannot be asked."""
    try:
        return call()
    except Exception:  # noqa: BLE001 - whatever a server that is being started answers
        return False


def measure(learners: int, names: list[str]) -> dict[str, Any]:
    """The whole class."""
    with running(learners) as workshop, tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(learners + 1) as pool:
        solved = list(notebooks.build(chapters.folder() / "source", Path(scratch), solutions=True, names=names))
        people = [person(workshop, each) for each in workshop.learners]
        board = Board(person(workshop, workshop.instructor), workshop.learners)
        board.instructor.session.get(f"{workshop.url}services/board/", timeout=60).raise_for_status()
        watching = pool.submit(board.watch)
        began = time.monotonic()

        def start(each: HubUser) -> float:
            each.start()
            each.wait(1800)
            return time.monotonic() - began

        starts = list(pool.map(start, people))
        psutil.cpu_percent()
        works = list(pool.map(lambda each: work(each, solved), people))
        cpu = psutil.cpu_percent()
        time.sleep(2)  # the board's next look
        passed = {account: row["passed"] for account, row in board.rows().items()}
        again = kill(people, board)
        lost = [account for account, row in board.rows().items() if row["passed"] != passed[account]]
        board.ends.set()
        watching.result()
    return {
        "learners": learners,
        "chapters": names,
        "start_seconds": sorted(round(each, 1) for each in starts),
        "work_seconds": sorted(round(each, 1) for each in works),
        "cpu_percent_of_all_cores": cpu,
        "memory_mb": sorted(each // 1_000_000 for each in board.memory.values()),
        "board_delay_seconds": {"most": round(max(board.delays, default=0), 2), "outcomes": len(board.delays)},
        "goes_on_after_seconds": {what: round(seconds, 1) for what, seconds in again.items()},
        "passed": {account: len(each) for account, each in passed.items()},
        "lost": lost,
        "ok": not lost and all(passed.values()) and max(again.values()) < GOES_ON_WITHIN,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learners", type=int, default=4)
    parser.add_argument("--chapters", nargs="+", default=["00_start", "05_canary"])
    options = parser.parse_args()
    found = measure(options.learners, options.chapters)
    print(json.dumps(found, indent=1))  # noqa: T201 - the benchmark's output
    sys.exit(not found["ok"])
