"""The instructor's board: a service of the hub, behind the hub's login and open to its administrators only. It is a program.

It reads the learners' files every second, and asks their own servers to do what the instructor wants.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import urllib.parse
from pathlib import Path
from typing import Any, Final

from jupyterhub.services.auth import HubOAuthCallbackHandler
from tornado import httpserver, web
from tornado.netutil import bind_sockets

from meshcourse.cluster import namespaces
from meshcourse.course import chapters
from meshcourse.workshop import certificate, messages, monitoring, record, results
from meshcourse.workshop.board import learner_server, preflight_codes, timetable
from meshcourse.workshop.board.handler import InstructorHandler
from meshcourse.workshop.board.notebooks import Notebooks

PAGE: Final = Path(__file__).with_name("board.html")
EVERY: Final = 1.0
MEMORY_EVERY: Final = 10.0
LARGEST_REQUEST: Final = 1_000_000
"""Bytes."""


class State:
    """What the page shows."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {"learners": []}
        self._memory: dict[str, int] = {}

    async def watch(self) -> None:
        """Refresh `shown` every second."""
        seconds = MEMORY_EVERY
        while True:
            if seconds >= MEMORY_EVERY:
                seconds, self._memory = 0.0, await asyncio.to_thread(memories)
            self.shown = await asyncio.to_thread(snapshot, self._memory)
            await asyncio.sleep(EVERY)
            seconds += EVERY


def memories() -> dict[str, int]:
    """Bytes of each running sandbox, by account. Accounts of the machine have none: their clusters are no children of their servers."""
    children, learners = monitoring.children(), (each for each in record.require().learners if each.code)
    return {user.account: monitoring.memory(pid, children) for user in learners if (pid := monitoring.server_pid(user))}


def snapshot(memory: dict[str, int]) -> dict[str, Any]:
    """Everything that the page shows."""
    rows, workshop = [], record.require()
    cluster = monitoring.cluster if workshop.on == record.EMBEDDED else lambda _: "shared"
    for user in workshop.learners:
        here = bool(monitoring.server_pid(user))
        row = monitoring.results_of(user).shown()
        rows.append(
            {
                **row,
                "here": here,
                "cluster": cluster(user) if here else "",
                "memory": memory.get(user.account, 0) if here else 0,
            }
        )
    return {
        "at": monitoring.now(),
        "learners": rows,
        "memory": memory_of_machine(),
        "preflight": preflight_codes.listed(),
        "timetable": timetable.shown(),
    }


def memory_of_machine() -> dict[str, int]:
    """Bytes that the machine has, and that are available."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    found = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1 and words[1].isdigit()}
    return {"total": found["MemTotal:"], "available": found["MemAvailable:"]}


class StateHandler(InstructorHandler):
    """A page that shows the state."""

    state: State

    def initialize(self, state: State) -> None:
        """Tornado passes the URLSpec's arguments here."""
        self.state = state


class Page(InstructorHandler):
    """The page itself."""

    @web.authenticated
    def get(self) -> None:
        """HTML; its script asks for the rest."""
        listed = [{"key": each.key, "title": f"{each.number} {each.title}"} for each in chapters.CHAPTERS.values()]
        plans = {path.stem: path.read_text(encoding="utf-8") for path in sorted(timetable.PLANS.glob("*.txt"), reverse=True)}
        xsrf = self.xsrf_token.decode()
        content = PAGE.read_text(encoding="utf-8").replace(
            "{{facts}}", json.dumps({"chapters": listed, "plans": plans, "xsrf": xsrf}).replace("<", "\\u003c")
        )
        self.finish(content)


class Learners(StateHandler):
    """What the page shows, as JSON."""

    @web.authenticated
    def get(self) -> None:
        """The newest snapshot."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self.state.shown))


class Results(InstructorHandler):
    """results.csv."""

    @web.authenticated
    def get(self) -> None:
        """A file to keep."""
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="results.csv"')
        self.finish("\ufeff" + results.table(map(monitoring.results_of, record.require().learners)))


class Certificates(InstructorHandler):
    """A page for each learner who passed something, to print."""

    @web.authenticated
    def get(self) -> None:
        """HTML."""
        self.finish(certificate.page([monitoring.results_of(user) for user in record.require().learners]))


class Action(InstructorHandler):
    """POST {"to": account or "*", "text": ...} or {"chapter": key}."""

    @web.authenticated
    async def post(self, action: str) -> None:
        """Ask the servers that run; answer with each one's message."""
        given = json.loads(self.request.body or b"{}")
        workshop = record.require()
        chosen = [user for user in workshop.learners if given.get("to") in {"*", user.account} and monitoring.server_pid(user)]
        if action == "message":
            path, body = messages.PATH, {"text": str(given.get("text", ""))}
        else:
            path, body = f"{messages.PATH}/{action}/{chapters.find(str(given.get('chapter', ''))).key}", {}
        said = await asyncio.gather(*(learner_server.post(user, path, body) for user in chosen))
        absent = [user.name for user in workshop.learners if given.get("to") in {"*", user.account} and user not in chosen]
        self.finish(json.dumps({"said": dict(zip((user.name for user in chosen), said, strict=True)), "absent": absent}))


async def main() -> None:
    """Serve until the hub ends, also when it is killed: the next hub starts a board of its own on the same port."""
    hub = os.getppid()
    namespaces.call("prctl", namespaces.PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != hub:
        return
    state, prefix = State(), os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    application = web.Application(
        [
            (prefix, Page),
            (f"{prefix}learners", Learners, {"state": state}),
            (f"{prefix}notebooks/([^/]+)/(.*)", Notebooks),
            (f"{prefix}plan", timetable.Plan),
            (f"{prefix}preflight", preflight_codes.Enter),
            (f"{prefix}results.csv", Results),
            (f"{prefix}certificates", Certificates),
            (f"{prefix}(message|reset|catch-up)", Action),
            (f"{prefix}oauth_callback", HubOAuthCallbackHandler),
        ],
        cookie_secret=hashlib.sha256(os.environ["JUPYTERHUB_API_TOKEN"].encode()).digest(),
    )
    server = httpserver.HTTPServer(application, max_body_size=LARGEST_REQUEST)
    listen = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    server.add_sockets(bind_sockets(listen.port or 0, listen.hostname))
    await state.watch()


if __name__ == "__main__":
    asyncio.run(main())
