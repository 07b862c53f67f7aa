"""lab.explain_log: one line of an Envoy's access log, field by field.

Envoy writes about once a second, so it waits.
"""

from __future__ import annotations

import html
import shlex
import time
from dataclasses import dataclass
from typing import Final

from meshcourse.core import errors, tables
from meshcourse.lab import session
from meshcourse.lab.shell import FLUSH, RECENT
from meshcourse.measure import access_logs
from meshcourse.measure.access_logs import MEANING, Entry
from meshcourse.mesh.install import installation

_LONGEST: Final = 58


@dataclass(frozen=True)
class Explained:
    """One line, and the meaning of each of its fields."""

    command: str
    entry: Entry

    def __getitem__(self, field: str) -> str:
        """The value of one field. Raises CourseError, with a list of the fields, for an unknown name."""
        if field in self.entry.fields:
            return self.entry[field]
        raise errors.CourseError(f"A log line has no field {field!r}.", why=f"the fields are {', '.join(MEANING)}", next='line["code"]')

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """(field, value, meaning) in the order of the line."""
        return tuple((name, self.entry[name], meaning) for name, meaning in MEANING.items())

    def __repr__(self) -> str:
        rows = [(name, _cut(value), meaning) for name, value, meaning in self.rows()]
        return "\n".join([f"$ {self.command}", self.entry.line, "", *tables.columns(rows)])

    def _repr_html_(self) -> str:
        rows = [(name, tables.Markup(f"<code>{html.escape(value)}</code>"), meaning) for name, value, meaning in self.rows()]
        plain = html.escape(f"$ {self.command}\n{self.entry.line}")
        return f'<pre style="white-space:pre-wrap">{plain}</pre>{tables.markup(("field", "value", "meaning"), rows)}'


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def explain_log(containing: str = "", *, workload: str = "", namespace: str = "", timeout: float = 15.0) -> Explained:
    """The newest line that contains `containing`, explained. `workload` as in lab.access_log; without it, the ingress gateway.

    Waits `timeout` seconds for the line. Raises CourseError when none comes, KubernetesError when there is no such workload.
    """
    begun, started = session.current(), time.monotonic()
    where = (namespace or begun.namespace) if workload else installation.NAMESPACE
    what = (workload if "/" in workload else f"deployment/{workload}") if workload else f"deployment/{installation.INGRESS}"
    command = shlex.join(["kubectl", "-n", where, "logs", what, "-c", "istio-proxy"])
    filters = (access_logs.own(begun.connection, where), containing)
    command += "".join(f" | grep {shlex.quote(each)}" for each in filters if each) + " | tail -1"
    while True:
        old = time.monotonic() - started > FLUSH
        found = access_logs.read(begun.connection, where, what, containing=containing, since=0 if old else RECENT)
        if found:
            return Explained(command, found[-1])
        if time.monotonic() - started > timeout:
            raise errors.CourseError(
                f"No line of this access log contains {containing!r}." if containing else "This access log is empty.",
                why=f"{what} has not logged such a request among its last 500 lines",
                next="send the request (again), then run this cell",
            )
        time.sleep(0.2)
