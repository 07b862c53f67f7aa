"""Requests of the board to a learner's own server, through the hub's proxy and with the board's token."""

from __future__ import annotations

import json
import os
import urllib.parse
from typing import Final

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from meshcourse.workshop import record
from meshcourse.workshop.users import User

ANSWERS_WITHIN: Final = 200.0
LARGEST: Final = 30_000_000
"""Bytes of an answer; a larger one is an error."""


async def get(user: User, path: str) -> HTTPResponse:
    """Raises HTTPClientError or OSError."""
    client = AsyncHTTPClient(force_instance=True, max_body_size=LARGEST, max_buffer_size=LARGEST)
    try:
        return await client.fetch(_request(user, path, "GET"))
    finally:
        client.close()


async def post(user: User, path: str, body: dict[str, str]) -> str:
    """Returns what went wrong; empty when nothing did."""
    try:
        await AsyncHTTPClient().fetch(_request(user, path, "POST", json.dumps(body)))
    except HTTPClientError as error:
        answer = error.response.body.decode(errors="replace") if error.response else ""
        return f"{error.code} {answer[:400]}"
    except OSError as error:
        return str(error)
    return ""


def _request(user: User, path: str, method: str, body: str | None = None) -> HTTPRequest:
    workshop = record.require()
    host = "127.0.0.1" if workshop.address in record.EVERY_ADDRESS else workshop.address
    url = f"http://{host}:{workshop.port}{workshop.base_url}user/{urllib.parse.quote(user.account)}/{path}"
    headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}", "Content-Type": "application/json"}
    return HTTPRequest(url, method, headers, body, request_timeout=ANSWERS_WITHIN)
