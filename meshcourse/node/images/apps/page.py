"""Bookinfo's pages as HTML: self-contained, with no script, no picture and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

TITLE: Final = "Simple Bookstore App"
STARS: Final = 5
_STYLE: Final = """
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1f2937;background:#fff}
header{display:flex;justify-content:space-between;align-items:center;padding:.6rem 1.2rem;background:#1e3a5f;color:#fff}
header a{color:#fff}header form{display:inline}input{font:inherit;width:8rem}button{font:inherit}
main{max-width:56rem;margin:0 auto;padding:0 1.2rem 1.2rem}h1{text-align:center;font-size:1.6rem}
.columns{display:flex;flex-wrap:wrap;gap:2rem}.columns>section{flex:1 1 20rem}
th{text-align:left;padding-right:1rem;font-weight:600;vertical-align:top}
blockquote{margin:0 0 1rem;padding:.2rem 1rem;border-left:4px solid #cbd5e1}small{color:#64748b}
.stars{font-size:1.4rem;letter-spacing:.1em}.error{padding:.4rem .8rem;border-left:4px solid #b91c1c;background:#fef2f2;color:#7f1d1d}
"""


@dataclass(frozen=True)
class Outcome:
    """One service's answer for this page: its HTTP status and its JSON."""

    status: int
    content: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the page can show it."""
        return self.status == 200  # noqa: PLR2004 - HTTP's OK


def product(book: Mapping[str, Any], details: Outcome, reviews: Outcome, user: str) -> str:
    """The product page: the book, its details on the left, its reviews on the right."""
    return _whole(
        f"<h1>{escape(book['title'])}</h1><p>Summary: {book['descriptionHtml']}</p>"
        f'<div class="columns"><section>{_details(details)}</section><section>{_reviews(reviews)}</section></div>',
        user,
    )


def index(places: Sequence[tuple[str, str]], user: str) -> str:
    """The first page: a link to the product page, and which service calls which."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(url)}</td></tr>" for name, url in places)
    text = '<h1>Hello! This is a simple bookstore application consisting of four services.</h1><p><a href="/productpage">The book</a></p>'
    return _whole(f"{text}<h2>Who is called where</h2><table>{rows}</table>", user)


def _details(details: Outcome) -> str:
    if not details.ok:
        return f"<h4>Error fetching product details</h4>{_error(details)}"
    known = details.content
    names = {"ISBN-10": "ISBN-10", "publisher": "Publisher", "pages": "Pages", "type": "Type", "language": "Language", "author": "Author"}
    rows = "".join(f"<tr><th>{shown}</th><td>{escape(str(known[name]))}</td></tr>" for name, shown in names.items() if name in known)
    return f"<h4>Book Details</h4><table>{rows}</table>"


def _reviews(reviews: Outcome) -> str:
    if not reviews.ok:
        return f"<h4>Error fetching product reviews</h4>{_error(reviews)}"
    text = "".join(
        f"<blockquote><p>{escape(str(each['text']))}</p><small>{escape(str(each['reviewer']))}</small>{_rating(each.get('rating'))}</blockquote>"
        for each in reviews.content["reviews"]
    )
    served = f"<p><small>Reviews served by: {escape(str(reviews.content.get('podname', '')))}</small></p>"
    return f"<h4>Book Reviews</h4>{text}{served}"


def _rating(rating: Mapping[str, Any] | None) -> str:
    if not rating:
        return ""
    if "error" in rating:
        return f'<p class="error">{escape(str(rating["error"]))}</p>'
    given = max(0, min(STARS, int(rating["stars"])))
    colour = escape(str(rating["color"]), quote=True)
    label = f"{given} of {STARS} stars, {colour}"
    return f'<div class="stars" style="color:{colour}" role="img" aria-label="{label}">{"★" * given}{"☆" * (STARS - given)}</div>'


def _error(outcome: Outcome) -> str:
    return f'<p class="error">{escape(str(outcome.content.get("error", "")))}</p>'


def _whole(body: str, user: str) -> str:
    if user:
        sign = f'<span>{escape(user)} (<a href="/logout">sign out</a>)</span>'
    else:
        sign = (
            '<form method="post" action="/login"><input name="username" aria-label="User name" placeholder="User name"> '
            '<input name="passwd" type="password" aria-label="Password" placeholder="Password"> <button>Sign in</button></form>'
        )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{TITLE}</title><style>{_STYLE}</style></head>"
        f"<body><header><strong>Bookinfo</strong>{sign}</header><main>{body}</main></body></html>"
    )
