"""Before the day: whether a machine can take part, on one page, and a short code that says it to the instructor.

The code holds which questions were answered yes, memory and cores; nothing about the person or the machine's name.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import shutil
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.backends import readiness
from meshcourse.cluster.prerequisites import Check
from meshcourse.core.errors import CourseError
from meshcourse.workshop import running

VERSION: Final = 1
ENOUGH: Final = 4e9
"""Bytes for one learner's cluster, JupyterLab and browser."""
MOST: Final = 24


@dataclass(frozen=True)
class Report:
    """A machine's answers, in the order in which the page has them."""

    answers: tuple[bool, ...]
    memory_gb: int
    cores: int

    @property
    def ready(self) -> bool:
        """Whether all is yes."""
        return all(self.answers)


def checks(*, hub: bool) -> tuple[Check, ...]:
    """For a machine with a cluster of its own; with `hub` for the one that serves the class."""
    memory, free = available(), shutil.disk_usage(Path.home()).free
    found = [*readiness.checks()]
    more = "" if memory >= ENOUGH else "close other programs, or use a machine with more memory"
    found.append(Check("memory", ok=not more, found=f"{memory / 1e9:.1f} GB free", why="a cluster, JupyterLab and a browser", fix=more))
    more = "" if free >= ENOUGH else "free 4 GB below your home folder"
    found.append(Check("home", ok=not more, found=f"{free / 1e9:.1f} GB free", why="the programs and the cluster's data", fix=more))
    if hub:
        for name in ("jupyterhub", "jupyter_server_proxy"):
            there = importlib.util.find_spec(name) is not None
            said = "installed" if there else "not installed"
            found.append(
                Check(name, ok=there, found=said, why="the class's hub", fix="" if there else "pip install 'meshcourse[workshop]'")
            )
        node = shutil.which("node")
        fix = "" if node else "sudo apt install nodejs npm"
        found.append(Check("Node.js", ok=bool(node), found=node or "not installed", why=f"{running.PROXY} needs it", fix=fix))
    return tuple(found)


def available() -> int:
    """Bytes of memory that are free."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")


def report(found: tuple[Check, ...]) -> Report:
    """What the code says."""
    return Report(tuple(each.ok for each in found), min(255, round(available() / 1e9)), min(255, os.cpu_count() or 1))


def code(report: Report) -> str:
    """A code to read aloud, such as MC-AEAQ-6.. ; `read` tells a mistyped one.

    >>> read(code(Report((True, False, True), 8, 4)))
    Report(answers=(True, False, True), memory_gb=8, cores=4)
    """
    bits = sum(1 << position for position, ok in enumerate(report.answers) if ok)
    content = bytes((VERSION, len(report.answers), report.memory_gb, report.cores)) + bits.to_bytes(4, "big")
    text = base64.b32encode(content + zlib.crc32(content).to_bytes(4, "big")[:2]).decode()
    return "-".join(("MC", *(text[at : at + 4] for at in range(0, len(text), 4))))


def send(url: str, name: str, code: str) -> None:
    """Enter a code on the board of the workshop at `url`. Raises CourseError when the board does not take it."""
    page = f"{url.rstrip('/')}/services/board/preflight"
    form = urllib.parse.urlencode({"name": name, "code": code}).encode()
    try:
        with urllib.request.urlopen(page, form, timeout=30):  # noqa: S310 - the address that was typed
            return
    except (OSError, ValueError) as error:
        raise CourseError(
            "The code was not sent.", why=f"{page}: {error}", next=f"check the address, or tell your instructor the code {code}"
        ) from error


def words(report: Report) -> str:
    """What a report says, in words.

    >>> words(Report((True, False, True), 8, 4))
    'no: line 2; 8 GB free, 4 cores'
    """
    wrong = ", ".join(str(position) for position, ok in enumerate(report.answers, 1) if not ok)
    return f"{'ready' if report.ready else f'no: line {wrong}'}; {report.memory_gb} GB free, {report.cores} cores"


def read(typed: str) -> Report:
    """What a code says. Raises CourseError for one that was mistyped."""
    text = "".join(each for each in typed.upper().removeprefix("MC") if each.isalnum())
    try:
        whole = base64.b32decode(text)
    except ValueError:
        whole = b""
    content, check = whole[:-2], whole[-2:]
    if len(content) != 8 or content[0] != VERSION or zlib.crc32(content).to_bytes(4, "big")[:2] != check or content[1] > MOST:  # noqa: PLR2004 - as `code` writes it
        raise CourseError(
            f"{typed!r} is not a code of `meshcourse workshop preflight`.", why="a letter is wrong or missing", next="ask for it again"
        )
    bits = int.from_bytes(content[4:], "big")
    return Report(tuple(bool(bits >> position & 1) for position in range(content[1])), content[2], content[3])
