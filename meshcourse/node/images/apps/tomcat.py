"""A stand-in for Tomcat: a web server on port 8080 that says it is not Tomcat, and can be slow. `python3 -m apps.tomcat 8080`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from . import serving
from .serving import App, Reply, Request

LONGEST: Final = 300.0
KINDS: Final = {".html": "text/html", ".txt": "text/plain", ".css": "text/css", ".xml": "application/xml", ".json": "application/json"}


def app(environment: Mapping[str, str], pause: Callable[[float], None] = time.sleep) -> App:
    """The service."""
    root = Path(environment.get("CATALINA_HOME") or "/usr/local/tomcat") / "webapps" / "ROOT"
    always = seconds(environment.get("DELAY_SECONDS", "0")) or 0.0

    def answer(request: Request) -> Reply:
        if request.path == "/slow":
            wanted = seconds(request.query.get("seconds", "3"))
            if wanted is None:
                return serving.as_text(f"seconds must be a number from 0 to {LONGEST:.0f}\n", 400)
            pause(wanted)
            return serving.as_text(f"answered after {wanted:g} s\n")
        pause(always)
        return file(root, request.path)

    return answer


def seconds(text: str) -> float | None:
    """The number in `text`, or None when it is not a number, or not a valid delay."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= LONGEST else None


def file(root: Path, path: str) -> Reply:
    """A file below `root`; index.html for a folder; 404 in Tomcat's words for a missing or hidden file."""
    found = (root / path.lstrip("/")).resolve()
    if found.is_dir():
        found /= "index.html"
    hidden = {"WEB-INF", "META-INF"} & {part.upper() for part in found.parts}
    if hidden or not found.is_relative_to(root.resolve()) or not found.is_file():
        title = "HTTP Status 404 \u2013 Not Found"
        return serving.as_text(f"<!doctype html><title>{title}</title><h1>{title}</h1>\n", 404, "text/html")
    kind = KINDS.get(found.suffix, "application/octet-stream")
    return Reply(200, found.read_bytes(), f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=8080)
