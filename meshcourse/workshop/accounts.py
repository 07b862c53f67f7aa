"""Learners who are accounts of this machine (`--users local`): what runs as them. Everything here is for root."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from meshcourse.backends import programs
from meshcourse.core import settings
from meshcourse.engine import binaries
from meshcourse.jupyterlab import options
from meshcourse.workshop import record, singleuser

ENDS_WITHIN: Final = 10.0
CLUSTER_ENDS_WITHIN: Final = 120.0


def environment(account: str, given: Mapping[str, str]) -> dict[str, str]:
    """For a program that runs as the account: its home, this installation's programs, the engine that all share."""
    found = pwd.getpwnam(account)
    return {
        **options.environment({**given, "PATH": programs.search_path(os.environ["PATH"])}),
        "HOME": found.pw_dir,
        "USER": account,
        "MESHCOURSE_ENGINE": str(binaries.home()),
        singleuser.KUBECONFIG: str(kubeconfig(account)),
        singleuser.ON: record.require().on,
    }


def kubeconfig(account: str) -> Path:
    """Where the account has its copy of the shared cluster's kubeconfig."""
    return Path(pwd.getpwnam(account).pw_dir) / ".config" / "meshcourse-workshop" / "kubeconfig"


def run(account: str, command: list[str], given: bytes = b"") -> str:
    """Run `command` as the account, with `given` as its input. Returns what it said when it failed, otherwise nothing."""
    found = pwd.getpwnam(account)
    ids: dict[str, Any] = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": os.getgrouplist(account, found.pw_gid)}
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            check=False,
            cwd="/",
            env=environment(account, {}),
            timeout=CLUSTER_ENDS_WITHIN,
            **ids,
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} did not end within {CLUSTER_ENDS_WITHIN:.0f} s"
    return done.stderr.decode(errors="replace")[-500:] if done.returncode else ""


def server(account: str) -> int:
    """The process that is the account's single-user server; 0 when none runs."""
    with contextlib.suppress(KeyError):
        uid = pwd.getpwnam(account).pw_uid
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if process.stat().st_uid == uid and b"jupyterhub.singleuser" in (process / "cmdline").read_bytes():
                    return int(process.name)
    return 0


def end_cluster(account: str) -> str:
    """End the course's cluster of the account. Returns what went wrong."""
    return run(account, [sys.executable, "-m", "meshcourse.cli.main", "down", "--name", settings.DEFAULT_CLUSTER])


def end(account: str) -> str:
    """End the account's server and its cluster. Returns what went wrong."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + ENDS_WITHIN
        while (pid := server(account)) and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(0.2)
    return end_cluster(account)
