"""The codes of `meshcourse workshop preflight` that learners enter before the day: a page of the board without a login."""

from __future__ import annotations

import html
import json
import threading
from pathlib import Path
from typing import Any, Final

from tornado import web

from meshcourse.core import files
from meshcourse.core.errors import CourseError
from meshcourse.workshop import preflight, record, users

MOST: Final = 400
"""Codes that are kept: anybody who reaches the hub can enter one."""
LONGEST_NAME: Final = 60
_writing = threading.Lock()
_FORM: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Preflight code</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem}</style><h1>Is your machine ready?</h1>
<p>Type <code>meshcourse workshop preflight</code> on it, and enter the code that it prints.</p><p role="status">@</p>
<form method="post"><p><label>Your name <input name="name" maxlength="60" required></label></p>
<p><label>Code <input name="code" placeholder="MC-..." maxlength="40" required></label></p><button>Send</button></form></html>"""


def _file() -> Path:
    return record.folder() / "preflight.json"


def listed() -> list[dict[str, Any]]:
    """Each name with what its code says, those that are not ready first."""
    try:
        kept: dict[str, str] = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found = [(name, preflight.read(code)) for name, code in kept.items()]
    rows = [{"name": name, "ready": each.ready, "says": preflight.words(each)} for name, each in found]
    return sorted(rows, key=lambda row: (row["ready"], row["name"]))


def add(name: str, code: str) -> preflight.Report:
    """Keep a code; a new one of the same name replaces the old one. Raises CourseError for a mistyped code or an empty name."""
    found, shown = preflight.read(code), " ".join(name.split())[:LONGEST_NAME]
    if not users.fold(shown):
        raise CourseError("The name is empty.", next="enter your name too")
    with _writing:
        try:
            kept: dict[str, str] = json.loads(_file().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = {}
        if len(kept) >= MOST and shown not in kept:
            raise CourseError(f"{MOST} codes have been entered; no more are kept.", next="tell your instructor the code")
        files.replace(_file(), json.dumps({**kept, shown: preflight.code(found)}, ensure_ascii=False))
    return found


class Enter(web.RequestHandler):
    """GET: the form. POST name and code: from the form, or by `preflight --send`."""

    def set_default_headers(self) -> None:
        """Nothing but this page's own style and form."""
        self.set_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        )

    def get(self) -> None:
        """HTML."""
        self.finish(_FORM.replace("@", ""))

    def post(self) -> None:
        """The same page, with the answer; 400 for a code that is none."""
        try:
            found = add(self.get_body_argument("name", ""), self.get_body_argument("code", ""))
            said = f"Thank you. Your instructor sees: {preflight.words(found)}."
        except CourseError as error:
            self.set_status(400)
            said = f"{error.what} {error.why} Next: {error.next}"
        self.finish(_FORM.replace("@", html.escape(said)))
