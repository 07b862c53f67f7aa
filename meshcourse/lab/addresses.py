"""Where the learner's browser finds what notebooks reach on 127.0.0.1: under a JupyterHub the browser is on another machine."""

from __future__ import annotations

import html
import importlib.util
import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

VARIABLE: Final = "MESHCOURSE_GATEWAY_LINK"
"""The path under which a workshop's server shows the ingress gateway."""


def in_browser(ingress_url: str, environment: Mapping[str, str], *, proxied: bool) -> str:
    """The path in the learner's browser for the ingress gateway at `ingress_url`; empty where that address itself works, or none does.

    Any hub's server can show it if it has jupyter-server-proxy (`proxied`).

    >>> in_browser("http://127.0.0.1:31718", {"JUPYTERHUB_SERVICE_PREFIX": "/class/user/ada/"}, proxied=True)
    '/class/user/ada/proxy/31718/'
    """
    prefix, port = environment.get("JUPYTERHUB_SERVICE_PREFIX", ""), urlsplit(ingress_url).port
    if link := environment.get(VARIABLE):
        return link
    return f"{prefix}proxy/{port}/" if prefix and port and proxied else ""


def show(ingress_url: str) -> None:
    """In a hub's notebook, show the gateway's address as a link; elsewhere do nothing: the address has been printed."""
    path = in_browser(ingress_url, os.environ, proxied=importlib.util.find_spec("jupyter_server_proxy") is not None)
    if not path:
        return
    from IPython.display import HTML, display  # noqa: PLC0415 - only in a notebook

    shown = html.escape(path, quote=True)
    display(HTML(f'in your browser it is <a href="{shown}" target="_blank" rel="noopener">{shown}</a>'))  # type: ignore[no-untyped-call]
