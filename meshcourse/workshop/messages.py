"""A Jupyter server extension of each learner's server: it shows the instructor's messages, and resets chapters for the board.

The front end asks for the newest message once a second or so and shows it. Only this learner and the board's service get through.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from jupyter_server.base.handlers import APIHandler
from tornado import web

from meshcourse.core import errors, paths
from meshcourse.course import chapters

PATH: Final = "meshcourse/workshop"
WITHIN: Final = 180.0
LONGEST: Final = 2_000


class Messages(APIHandler):
    """GET: the newest message. POST: a new one, {"text": ...}."""

    newest: dict[str, Any] = {"id": 0}  # noqa: RUF012 - the one of this server

    @web.authenticated
    async def get(self) -> None:
        """The newest message: its id (0: none), text, and a notebook to open."""
        self.finish(json.dumps(self.newest))

    @web.authenticated
    async def post(self) -> None:
        """Show a message."""
        given = self.get_json_body() or {}
        self.tell(str(given.get("text", ""))[:LONGEST])
        self.set_status(204)

    @classmethod
    def tell(cls, text: str, notebook: str = "") -> None:
        """Have the front end show `text`, and open or reload `notebook`."""
        cls.newest = {"id": time.time_ns() // 1_000_000, "text": text, "notebook": notebook}


class Chapter(APIHandler):
    """POST: put a chapter back to its beginning."""

    @web.authenticated
    async def post(self, action: str, key: str) -> None:
        """`reset`: a fresh notebook, its objects and its marks gone. `catch-up`: a fresh notebook, and a cluster ready for it."""
        try:
            chapter = chapters.find(key)
        except errors.CourseError as error:
            raise web.HTTPError(404, str(error)) from error
        worked = (paths.state() / "notebooks" / f"{chapter.stem}.ipynb").exists()
        words = [sys.executable, "-m", "meshcourse.workshop.chapter_reset", action, chapter.key]
        done = await asyncio.create_subprocess_exec(
            *words,
            cwd=paths.state() / "notebooks",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(WITHIN):
                said, _ = await done.communicate()
        except TimeoutError:
            done.kill()
            await done.wait()
            raise web.HTTPError(504, f"it took more than {WITHIN:.0f} s") from None
        if done.returncode:
            raise web.HTTPError(500, said.decode(errors="replace").strip()[-500:])
        doing = "has reset" if action == "reset" else "starts with you"
        saved = " Your own notebook is saved beside it." if worked else ""
        Messages.tell(f"The instructor {doing} chapter {chapter.number}, {chapter.title}.{saved}", f"{chapter.stem}.ipynb")
        self.finish(json.dumps({"said": said.decode(errors="replace").strip()}))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "meshcourse.workshop.messages"}]


def _load_jupyter_server_extension(server: Any) -> None:  # noqa: ANN401 - Jupyter's
    base = server.web_app.settings["base_url"].rstrip("/")
    server.web_app.add_handlers(".*$", [(f"{base}/{PATH}", Messages), (f"{base}/{PATH}/(reset|catch-up)/([-a-z0-9]+)", Chapter)])


FOLDER: Final = Path(__file__).parent / "server" / "labextensions"
"""The front end's part."""
