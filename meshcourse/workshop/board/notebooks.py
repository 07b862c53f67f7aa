"""A learner's notebooks, to read on the board: the learner's own server makes HTML of them (nbconvert).

What it answers is the learner's, so the browser gets it in a sandbox: no script, no form and no picture from elsewhere, and no right of
the board's. Panels and plots, which are scripts, are therefore not shown.
"""

from __future__ import annotations

import html
import json
import urllib.parse
from typing import Final

from tornado import web
from tornado.httpclient import HTTPClientError, HTTPResponse

from meshcourse.workshop import monitoring, record, users
from meshcourse.workshop.board import learner_server
from meshcourse.workshop.board.handler import InstructorHandler

SUFFIX: Final = ".ipynb"
UNTRUSTED: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'"


class Notebooks(InstructorHandler):
    """GET: a list of a learner's notebooks, or one of them."""

    @web.authenticated
    async def get(self, account: str, name: str) -> None:
        """HTML."""
        user = users.find(record.require().learners, account)
        if user is None or not monitoring.server_pid(user):
            raise web.HTTPError(404, "This learner's server does not run; start it on the hub's own page.")
        if name and not name.endswith(SUFFIX):
            raise web.HTTPError(404, f"{name} is no notebook.")
        if name:
            answer = await _fetch(user, f"nbconvert/html/{urllib.parse.quote(name, safe='')}")
            self.set_header("Content-Security-Policy", UNTRUSTED)
            self.set_header("Referrer-Policy", "no-referrer")
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(answer.body)
            return
        self.finish(page(user, (await _fetch(user, "api/contents")).body))


async def _fetch(user: users.User, path: str) -> HTTPResponse:
    try:
        return await learner_server.get(user, path)
    except HTTPClientError as error:
        raise web.HTTPError(502, f"{user.name}'s server answers {error.code} for {path}.") from error
    except OSError as error:
        raise web.HTTPError(502, f"{user.name}'s server does not answer: {error}.") from error


def page(user: users.User, contents: bytes) -> str:
    """The list, from what the learner's server says of its folder."""
    try:
        found = [(str(each["name"]), str(each["last_modified"])) for each in json.loads(contents)["content"]]
    except (ValueError, TypeError, KeyError) as error:
        raise web.HTTPError(502, f"{user.name}'s server gives no list of notebooks.") from error
    rows = "".join(
        f'<li><a href="./{urllib.parse.quote(name, safe="")}">{html.escape(name)}</a> saved {html.escape(at[:16].replace("T", " "))}</li>'
        for name, at in sorted(found)
        if name.endswith(SUFFIX)
    )
    title = f"Notebooks of {html.escape(user.name)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
        f"<p>To read, as they were last saved (times are UTC). Panels and plots are not shown.</p><ul>{rows}</ul></html>"
    )
