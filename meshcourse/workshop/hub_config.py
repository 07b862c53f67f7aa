"""JupyterHub's configuration (`jupyterhub -f`). What differs between workshops is read from the workshop's record."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from typing import Any, Final

from meshcourse.workshop import authenticator, record, spawner

BOARD: Final = "board"
SPAWNS_WITHIN: Final = 600
"""Seconds until a start is given up: the last of thirty waits for all others."""


def configure(c: Any, workshop: record.Workshop) -> None:  # noqa: ANN401 - traitlets' configuration
    """Fill in `c`, the hub's configuration."""
    folder = record.folder()
    c.JupyterHub.bind_url = f"http://{workshop.address}:{workshop.port}{workshop.base_url}"
    if workshop.public_url:
        c.JupyterHub.public_url = workshop.public_url
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{workshop.hub_port}"
    c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
    c.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")
    c.JupyterHub.log_level = "INFO"
    c.JupyterHub.template_vars = {"announcement": "Your name and code are on the sheet."} if workshop.login == record.CLASSROOM else {}
    c.JupyterHub.cleanup_servers = False  # learners' servers stay when the hub restarts; `meshcourse workshop down` ends them
    c.JupyterHub.concurrent_spawn_limit = 0  # the spawner has a queue; the hub would refuse
    c.JupyterHub.active_server_limit = 0
    c.ConfigurableHTTPProxy.command = shlex.split(workshop.proxy)
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{workshop.proxy_port}"
    c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")
    c.Spawner.start_timeout = SPAWNS_WITHIN
    c.Spawner.http_timeout = 120
    c.Spawner.default_url = "/lab/tree/00_start.ipynb"
    c.Authenticator.admin_users = {workshop.instructor.account}
    c.Authenticator.allow_all = True  # who has neither name and code nor a local account is turned away before
    if workshop.login == record.CLASSROOM:
        c.JupyterHub.authenticator_class = authenticator.ClassroomAuthenticator
        c.JupyterHub.spawner_class = spawner.SandboxSpawner
    else:
        c.JupyterHub.authenticator_class = "pam"
        c.JupyterHub.spawner_class = spawner.AccountSpawner
    c.JupyterHub.services = [
        {
            "name": BOARD,
            "url": f"http://127.0.0.1:{workshop.board_port}",
            "command": [sys.executable, "-m", "meshcourse.workshop.board.service"],
            "environment": {record.VARIABLE: str(folder), "PATH": os.environ["PATH"]},
            "api_token": workshop.board_token,
            "oauth_no_confirm": True,
            "display": True,
        }
    ]
    # Only administrators have access:services: the board is closed to learners.
    c.JupyterHub.load_roles = [{"name": BOARD, "services": [BOARD], "scopes": ["list:users", "read:servers", "access:servers"]}]
    c.JupyterHub.default_url = functools.partial(_first_page, workshop.base_url)


def _first_page(base_url: str, handler: Any) -> str:  # noqa: ANN401 - the hub's
    """The instructor comes to the board, a learner to the notebooks."""
    user = handler.current_user
    return f"{base_url}services/{BOARD}/" if user and user.admin else f"{base_url}hub/spawn"


if "get_config" in globals():  # the hub executes this file with its own names
    found = record.require()
    configure(get_config(), found)  # type: ignore[name-defined] # noqa: F821 - traitlets defines it
    if found.config:
        load_subconfig(found.config)  # type: ignore[name-defined] # noqa: F821 - the instructor's own comes last
