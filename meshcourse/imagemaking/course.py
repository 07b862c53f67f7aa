"""The embedded node's image table as real OCI images: a Debian base layer, and each row's programs and files on it.

Two things differ from the embedded node: programs are copied, and Python, curl and busybox are Debian's instead of this machine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from meshcourse.imagemaking import debian, oci
from meshcourse.imagemaking.debian import Root
from meshcourse.imagemaking.layers import Entry, Store, tree
from meshcourse.node import images
from meshcourse.node.images import image as rows

BASE: Final = Root("what pods need", ("ca-certificates", "curl", "iptables", "python3", "busybox"))
_DEBIANS: Final = {"/usr/bin/curl", "/usr/bin/busybox", "/usr/lib/busybox/busybox"}
"""Programs that the embedded node takes from its machine; here the base layer has them."""
_BUSYBOX: Final = "/usr/lib/busybox/busybox"


def put(store: Store, wanted: Iterable[str]) -> tuple[oci.Stored, ...]:
    """Make every row of the table, with the tags that the references `wanted` name. Raises EngineError, MissingPrerequisite."""
    base = debian.layer(store, BASE)
    tags = tags_of(wanted)
    made = []
    for row in images.TABLE:
        layer = store.layer(tuple(entries(row)))
        image = oci.Image(
            references=references(row, tags),
            layers=(base, layer),
            entrypoint=row.entrypoint,
            command=row.command,
            environment=row.environment,
            user=row.user,
            working_dir=row.working_dir,
            stop_signal=row.stop_signal,
            labels=labels(row),
        )
        made.append(oci.put(store, image))
    return tuple(made)


def tags_of(references: Iterable[str]) -> dict[str, set[str]]:
    """The tags of each repository that `references` name."""
    found: dict[str, set[str]] = {}
    for reference in references:
        repository, tag = images.repository_and_tag(reference)
        found.setdefault(repository, set()).add(tag)
    return found


def references(row: rows.Image, tags: Mapping[str, set[str]]) -> tuple[str, ...]:
    """All names of a row's image: only the versions that it serves, else `latest` and the versions that the course names."""
    named = {name: row.tags or sorted({"latest"} | set().union(*(tags.get(other, set()) for other in row.names))) for name in row.names}
    return tuple(f"{name}:{tag}" for name, its in named.items() for tag in its)


def labels(row: rows.Image) -> dict[str, str]:
    """An image's labels: which programs it really contains."""
    return {
        "org.opencontainers.image.title": row.identity.replace("the host's", "Debian's"),
        "org.opencontainers.image.description": row.stand_in or "the upstream program, on Debian",
        "org.opencontainers.image.vendor": "meshcourse: made on this machine, not by the program's makers",
    }


def entries(row: rows.Image) -> Iterator[Entry]:
    """The files of a row's own layer."""
    yield from (Entry(f"/etc/{name}", source=rows.FILES / "base" / "etc" / name) for name in ("passwd", "group", "nsswitch.conf"))
    if row.tree:
        yield from tree(rows.FILES / row.tree)
    for folder, mode in row.folders.items():
        yield Entry(folder, mode, folder=True)
    yield from _programs(row)
    yield from (Entry(path, link=_of_debian(to)) for path, to in _links(row))


def _programs(row: rows.Image) -> Iterator[Entry]:
    for program in row.programs:
        if program.target in _DEBIANS:
            continue
        source = program.find()
        if source.is_dir():
            if not _is_python(program.target):
                yield from tree(source, program.target)
        elif not _is_python(program.target):
            executable = source.stat().st_mode & 0o100 or program.target.startswith("/usr/")
            yield Entry(program.target, 0o755 if executable else 0o644, source=source.resolve())


def _links(row: rows.Image) -> Sequence[tuple[str, str]]:
    return [(path, to) for path, to in row.links().items() if path not in _DEBIANS]


def _is_python(target: str) -> bool:
    """Whether a file or folder belongs to the Python that runs meshcourse, which Debian's replaces."""
    return any(part.startswith(("python3", "libpython3")) for part in PurePosixPath(target).parts)


def _of_debian(destination: str) -> str:
    """The target on Debian of a link in the table."""
    if _is_python(destination):
        return "/usr/bin/python3"
    return "/usr/bin/busybox" if destination == _BUSYBOX else destination
