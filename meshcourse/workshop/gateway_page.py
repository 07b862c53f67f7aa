"""The ingress gateway's pages in a learner's browser: addresses that begin with / must begin with the path of the learner's server."""

from __future__ import annotations

import html
import os
import re
from typing import Final, Protocol
from urllib.parse import urlsplit

from meshcourse.backends import lookup
from meshcourse.core import settings
from meshcourse.core.errors import MeshcourseError
from meshcourse.lab import addresses

_ADDRESS: Final = re.compile(rb"""(\b(?:href|src|action|srcset|poster)\s*=\s*["'])/(?!/)""", re.IGNORECASE)


class Headers(Protocol):
    """tornado's HTTPHeaders, as far as it is needed."""

    def get(self, name: str, default: str = "") -> str: ...  # noqa: D102
    def get_list(self, name: str) -> list[str]: ...  # noqa: D102
    def add(self, name: str, value: str) -> None: ...  # noqa: D102
    def __setitem__(self, name: str, value: str) -> None: ...
    def __delitem__(self, name: str) -> None: ...


class Response(Protocol):
    """jupyter-server-proxy's RewritableResponse, as far as it is needed."""

    headers: Headers
    body: bytes


def port() -> int:
    """Where the gateway answers on this machine. A forwarded port whose forwarder has ended is forwarded again."""
    try:
        return urlsplit(lookup.find().ingress_url()).port or settings.INGRESS_NODE_PORT
    except MeshcourseError:  # it does not run yet
        return settings.INGRESS_NODE_PORT


def unanswered(reason: str) -> str:
    """The page for a browser when nothing listens on the gateway's port; it is loaded again by itself."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">'
        "<title>No answer yet</title><h1>The ingress gateway does not answer yet</h1>"
        "<p>Its port opens when you have applied a Gateway, as the chapter says. Before that nothing listens there.</p>"
        f"<p>This page tries again every two seconds. The last answer was: {html.escape(reason)}</p></html>"
    )


def rewrite(response: Response) -> None:
    """Put the path before addresses in a page, in redirections, and in the path of cookies."""
    link = os.environ.get(addresses.VARIABLE, "/")
    headers = response.headers
    if headers.get("Content-Type", "").startswith("text/html"):
        response.body = _ADDRESS.sub(rb"\1" + link.encode(), response.body)
        headers["Content-Length"] = str(len(response.body))
    if to := headers.get("Location", ""):
        headers["Location"] = path_of(to, port())
    if cookies := headers.get_list("Set-Cookie"):
        del headers["Set-Cookie"]
        for cookie in cookies:
            headers.add("Set-Cookie", re.sub(r"(;\s*path=)/", rf"\g<1>{link}", cookie, flags=re.IGNORECASE))


def path_of(address: str, port: int) -> str:
    """A redirection to the gateway on `port` as a path, before which jupyter-server-proxy puts the learner's; others stay as they are.

    >>> path_of("http://127.0.0.1:31718/productpage?u=1", 31718)
    '/productpage?u=1'
    >>> path_of("http://127.0.0.1:8000/user/ada/gateway/", 31718)
    'http://127.0.0.1:8000/user/ada/gateway/'
    """
    parts = urlsplit(address)
    if parts.hostname not in {"127.0.0.1", "localhost"} or parts.port != port:
        return address
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
