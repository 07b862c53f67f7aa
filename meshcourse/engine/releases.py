"""Download the istioctl of any release, as Istio documents it: the release's archive, checked against its published SHA-256 sum.

A download that breaks off continues where it stopped, in this run and in the next. MESHCOURSE_ISTIO_RELEASES names a mirror with the same
layout.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import platform
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from meshcourse.core import paths, progress
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries

RELEASES: Final = "https://github.com/istio/istio/releases/download"
TRIES: Final = 5
"""How often a download that broke off is continued without asking."""
_SILENCE: Final = 30.0
_CHUNK: Final = 1 << 16


def istioctl(version: str) -> Path:
    """The istioctl of release `version` (such as 1.18.2), downloaded if necessary. Raises EngineError."""
    target = paths.cache() / "istioctl" / version / "istioctl"
    if target.is_file():
        return target
    url = f"{os.environ.get('MESHCOURSE_ISTIO_RELEASES') or RELEASES}/{version}/{archive(version)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f"{archive(version)}.part"
    with progress.step(f"Downloading istioctl {version}") as step:
        wanted = _sum(url)
        _fetch(url, part, step)
        found = hashlib.sha256(part.read_bytes()).hexdigest()
    if found != wanted:
        part.unlink()
        raise EngineError(
            f"The archive of istioctl {version} is not the one that Istio published.",
            why=f"its SHA-256 sum is {found}, and {url}.sha256 says {wanted}",
            next="run the same command again: the file has been deleted    # wrong twice? a proxy may change it",
        )
    _unpack(part, target)
    return target


def archive(version: str) -> str:
    """The name of the release's file for this machine, such as istioctl-1.18.2-linux-amd64.tar.gz."""
    system = {"Linux": "linux", "Darwin": "osx"}.get(platform.system(), platform.system().lower())
    return f"istioctl-{version}-{system}-{binaries.architecture()}.tar.gz"


def _sum(url: str) -> str:
    with _opened(f"{url}.sha256") as answer:
        return str(answer.read(1000).decode("ascii", "replace").split()[0])


def _fetch(url: str, part: Path, step: progress.Step) -> None:
    """Download until `part` is complete. Raises EngineError after TRIES attempts."""
    for _ in range(TRIES):
        have = part.stat().st_size if part.exists() else 0
        with _opened(url, have) as answer:
            goes_on = answer.status == http.client.PARTIAL_CONTENT
            if answer.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # complete already; the sum is checked later
            total = int(answer.headers.get("Content-Length") or 0) + (have if goes_on else 0)
            with part.open("ab" if goes_on else "wb") as file, contextlib.suppress(OSError, http.client.HTTPException):
                while data := answer.read(_CHUNK):
                    file.write(data)
                    step.update(f"{file.tell() / 1e6:.1f} of {total / 1e6:.1f} MB", min(1.0, file.tell() / max(1, total)))
        if part.stat().st_size >= total:
            return
        step.update(f"broke off after {part.stat().st_size / 1e6:.1f} MB, continuing")
    raise EngineError(
        "The download of istioctl broke off several times.", why=url, next="run the same command again    # it continues where it stopped"
    )


@contextlib.contextmanager
def _opened(url: str, beginning: int = 0) -> Iterator[Any]:
    """The server's answer, from byte `beginning` on if it can. Raises EngineError when there is none."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={beginning}-"} if beginning else {})  # noqa: S310 - http(s), ours or the user's
    try:
        answer = urllib.request.urlopen(request, timeout=_SILENCE)  # noqa: S310 - the same
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            error.close()
            raise EngineError(
                f"{url} could not be downloaded.", why=f"the server answered {error.code} {error.reason}", next="is there such a release?"
            ) from error
        answer = error
    except OSError as error:
        raise EngineError(
            "istioctl could not be fetched.",
            why=f"{url}: {error}",
            next="MESHCOURSE_ISTIO_RELEASES=http://a.mirror.of.yours/... and the same command    # or copy istioctl there by hand",
        ) from error
    with answer:
        yield answer


def _unpack(part: Path, target: Path) -> None:
    """Extract istioctl from the archive; the target appears only when it is complete."""
    new = target.with_suffix(".new")
    with tarfile.open(part) as files:
        member = files.extractfile("istioctl")
        if member is None:
            raise EngineError(f"There is no istioctl in {part}.", next=f"rm {part}")
        with new.open("wb") as file:
            shutil.copyfileobj(member, file)
    new.chmod(0o755)
    new.replace(target)
    part.unlink()
