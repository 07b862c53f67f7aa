"""lab.page, lab.stars: Bookinfo's page in the notebook, and how often each kind of stars comes.

A page is shown in a sandboxed frame that contains the HTML itself: it runs no script, fetches nothing, and needs no connection from the
browser to the cluster.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from meshcourse.core import background, tables
from meshcourse.lab import requests, session
from meshcourse.lab.requests import Answer
from meshcourse.measure import labels
from meshcourse.traffic import bookstore, pacing, sender
from meshcourse.traffic.targets import Target

PLOTLY: Final = "application/vnd.plotly.v1+json"
_HEIGHT: Final = 430
_UNSEEN: Final = re.compile(r"<(style|script|head)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_BREAK: Final = re.compile(r"</?(?:p|h\d|tr|div|section|blockquote|header|main|form|table|li|ul|br)\b[^>]*>", re.IGNORECASE)
_SIGNS: Final = {"none": "-", "black": "B", "red": "R"}


@dataclass(frozen=True)
class Page:
    """A page as it was answered; `user` is who requested it, empty for no user."""

    answer: Answer
    path: str
    user: str

    @property
    def text(self) -> str:
        """The page's text, a line for each block; stars are kept."""
        words = _BREAK.sub("\n", _UNSEEN.sub("", self.answer.body))
        lines = (" ".join(html.unescape(re.sub(r"<[^>]*>", " ", line)).split()) for line in words.splitlines())
        return "\n".join(line for line in lines if line)

    def _line(self) -> str:
        status = f"HTTP {self.answer.status}" if self.answer.status else "no answer"
        return f"GET {self.path} as {self.user or 'nobody'}: {status}, {self.answer.seconds * 1000:.0f} ms"

    def __repr__(self) -> str:
        return f"{self._line()}\n{self.text}"

    def _repr_html_(self) -> str:
        frame = (
            f'<iframe sandbox="" style="width:100%;height:{_HEIGHT}px;border:1px solid #808080;border-radius:4px;background:#fff" '
            f'title="{html.escape(self._line(), quote=True)}" srcdoc="{html.escape(self.answer.body, quote=True)}"></iframe>'
        )
        return f"<div><code>{html.escape(self._line())}</code></div>{frame}"


def page(path: str = "/productpage", *, user: str = "") -> Page:
    """Fetch a page of Bookinfo, signed in as `user` if one is named, and show it.

    Raises TrafficError when signing in fails; another failed page is shown as such.
    """
    connection = session.current().connection
    return Page(requests.request(path, headers=bookstore.sign_in(connection.ingress_url, user)), path, user)


@dataclass(frozen=True)
class Stars:
    """The stars of many answers, in order: `none`, `black`, `red`, or a failure's code. `stars["red"]` is a count."""

    seen: tuple[str, ...]
    user: str

    def __getitem__(self, kind: str) -> int:
        return self.seen.count(kind)

    def __repr__(self) -> str:
        counts, n = Counter(self.seen), max(len(self.seen), 1)
        kinds = [*bookstore.COLOURS, *sorted(set(counts) - {*bookstore.COLOURS})]
        rows = tables.shares([(kind, counts[kind]) for kind in kinds], n)
        order = "".join(_SIGNS.get(kind, "!") for kind in self.seen[:60])
        signs = "- none, B black, R red" + (", ! failed" if len(kinds) > len(_SIGNS) else "")
        who = f" as {self.user}" if self.user else ""
        return "\n".join([f"the stars of {len(self.seen)} answers{who}:", *rows, f"  in their order: {order}   ({signs})"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - as IPython calls it
        from meshcourse.widgets.figures import stars as picture  # noqa: PLC0415 - only where a figure is shown

        return {"text/plain": repr(self), PLOTLY: picture.figure(self.seen)}


def stars(n: int = 60, *, user: str = "") -> Stars:
    """Request the reviews from productpage `n` times, one after the other, and record the stars' colour.

    Raises TrafficError when signing in fails.
    """
    url = session.current().connection.ingress_url
    target = Target(url + bookstore.REVIEWS, headers=bookstore.sign_in(url, user))
    found = background.run(sender.send(target, pacing.closed(requests=n), label=labels.only(bookstore.stars), in_flight=1))
    return Stars(tuple(result.version or (result.code if not result.ok else "no reviews") for result in found), user)
