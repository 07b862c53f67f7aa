"""The instructor's board: a service of the hub, behind the hub's login and open to its administrators only. It is a program.

It reads the learners' files every second, and asks their own servers to do what the instructor wants.
"""

from __future__ import annotations

import asyncio
import json
import os
import urllib.parse
from pathlib import Path
from typing import Any, Final

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import httpserver, web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.netutil import bind_sockets

from meshcourse.course import chapters
from meshcourse.workshop import certificate, messages, monitoring, record, results, users

PAGE: Final = Path(__file__).with_name("board.html")
EVERY: Final = 1.0
MEMORY_EVERY: Final = 10.0
ANSWERS_WITHIN: Final = 200.0


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
    """Bytes of each running sandbox, by account."""
    children = monitoring.children()
    return {user.account: monitoring.memory(pid, children) for user in record.require().learners if (pid := monitoring.sandbox_pid(user))}


def snapshot(memory: dict[str, int]) -> dict[str, Any]:
    """Everything that the page shows."""
    rows = []
    for user in record.require().learners:
        here = bool(monitoring.sandbox_pid(user))
        row = monitoring.results_of(user).shown()
        rows.append(
            {
                **row,
                "here": here,
                "cluster": monitoring.cluster(user) if here else "",
                "memory": memory.get(user.account, 0) if here else 0,
            }
        )
    return {"at": monitoring.now(), "learners": rows, "memory": memory_of_machine()}


def memory_of_machine() -> dict[str, int]:
    """Bytes that the machine has, and that are available."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    found = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1 and words[1].isdigit()}
    return {"total": found["MemTotal:"], "available": found["MemAvailable:"]}


class InstructorHandler(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc] # the hub has no types
    """Handlers of the board answer administrators of the hub only."""

    state: State

    def initialize(self, state: State) -> None:
        """Tornado passes the URLSpec's arguments here."""
        self.state = state

    async def prepare(self) -> None:
        """Refuse everybody else; `authenticated` sends who is not logged in to the hub's login."""
        user = self.get_current_user()
        if user and not user.get("admin"):
            raise web.HTTPError(403, "The board is for the instructor.")

    def set_default_headers(self) -> None:
        """No other site may show the board in a frame of its own."""
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'; default-src 'self' 'unsafe-inline'")
        self.set_header("Cache-Control", "no-store")


class Page(InstructorHandler):
    """The page itself."""

    @web.authenticated
    def get(self) -> None:
        """HTML; its script asks for the rest."""
        listed = [{"key": each.key, "title": f"{each.number} {each.title}"} for each in chapters.CHAPTERS.values()]
        xsrf = self.xsrf_token.decode()
        content = PAGE.read_text(encoding="utf-8").replace(
            "{{facts}}", json.dumps({"chapters": listed, "xsrf": xsrf}).replace("<", "\\u003c")
        )
        self.finish(content)


class Learners(InstructorHandler):
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
        chosen = [user for user in workshop.learners if given.get("to") in {"*", user.account} and monitoring.sandbox_pid(user)]
        if action == "message":
            path, body = messages.PATH, {"text": str(given.get("text", ""))}
        else:
            path, body = f"{messages.PATH}/{action}/{chapters.find(str(given.get('chapter', ''))).key}", {}
        said = await asyncio.gather(*(send(workshop, user, path, body) for user in chosen))
        absent = [user.name for user in workshop.learners if given.get("to") in {"*", user.account} and user not in chosen]
        self.finish(json.dumps({"said": dict(zip((user.name for user in chosen), said, strict=True)), "absent": absent}))


async def send(workshop: record.Workshop, user: users.User, path: str, body: dict[str, str]) -> str:
    """Ask that learner's own server; "" or what went wrong."""
    host = "127.0.0.1" if workshop.address in {"0.0.0.0", "::"} else workshop.address  # noqa: S104 - compared, not bound
    url = f"http://{host}:{workshop.port}{workshop.base_url}user/{urllib.parse.quote(user.account)}/{path}"
    headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}", "Content-Type": "application/json"}
    try:
        await AsyncHTTPClient().fetch(HTTPRequest(url, "POST", headers, json.dumps(body), request_timeout=ANSWERS_WITHIN))
    except HTTPClientError as error:
        said = error.response.body.decode(errors="replace") if error.response else ""
        return f"{error.code} {said[:400]}"
    except OSError as error:
        return str(error)
    return ""


async def main() -> None:
    """Serve until the hub ends this process."""
    state, prefix = State(), os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    given = {"state": state}
    application = web.Application(
        [
            (prefix, Page, given),
            (f"{prefix}learners", Learners, given),
            (f"{prefix}results.csv", Results, given),
            (f"{prefix}certificates", Certificates, given),
            (f"{prefix}(message|reset|catch-up)", Action, given),
            (f"{prefix}oauth_callback", HubOAuthCallbackHandler),
        ],
        cookie_secret=os.urandom(32),
    )
    server = httpserver.HTTPServer(application)
    listen = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    server.add_sockets(bind_sockets(listen.port or 0, listen.hostname))
    await state.watch()


if __name__ == "__main__":
    asyncio.run(main())
