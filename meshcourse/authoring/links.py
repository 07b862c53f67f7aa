"""Check the site's links: internal ones must have a target, and no page may load anything from another site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_FETCHED: Final = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src", "object": "data"}


@dataclass
class _Found(HTMLParser):
    """What one page holds: the ids in it, what it links to, what it fetches."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get(_FETCHED.get(tag, "")):
            self.fetched.append(given[_FETCHED[tag]])


def check(folder: Path) -> tuple[str, ...]:
    """What is wrong with the links of the pages in `folder`."""
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    return tuple(complaint for path in pages for complaint in _wrong(path, folder, pages))


def _read(path: Path) -> _Found:
    found = _Found()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def _wrong(path: Path, folder: Path, pages: dict[Path, _Found]) -> Iterator[str]:
    name, found = path.relative_to(folder).as_posix(), pages[path]
    for link in found.fetched:
        if urlsplit(link).scheme in {"http", "https"} or link.startswith("//"):
            yield f"{name} loads {link} from another site"
    for link in (*found.links, *found.fetched):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            yield f"{name} links to {link}, which does not exist"
        elif parts.fragment and target in pages and not {parts.fragment, unquote(parts.fragment)} & pages[target].ids:
            yield f"{name} links to {link}, but {target.name} has no such id"
