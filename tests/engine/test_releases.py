"""Downloading istioctl: checked, resumed, never incomplete, from a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshcourse.core.errors import EngineError
from meshcourse.engine import releases

PROGRAM = b"#!/bin/sh\necho istioctl 1.18.2\n" + b"# " + bytes(range(65, 91)) * 20_000 + b"\n"


def packed() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as files:
        entry = tarfile.TarInfo("istioctl")
        entry.size = len(PROGRAM)
        files.addfile(entry, io.BytesIO(PROGRAM))
    return made.getvalue()


@dataclass
class Mirror:
    """A server of releases: `breaks` answers end after a third; without `ranges` it always starts over."""

    content: bytes
    digest: str
    breaks: int = 0
    ranges: bool = True
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    content = packed()
    found = Mirror(content, hashlib.sha256(content).hexdigest())
    name = releases.archive("1.18.2")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            found.asked.append(f"{self.path.removeprefix('/1.18.2/')} {wanted}".strip())
            if self.path == f"/1.18.2/{name}.sha256":
                self.answer(200, f"{found.digest} {name}\n".encode())
            elif self.path == f"/1.18.2/{name}":
                first = int(wanted.removeprefix("bytes=").removesuffix("-") or 0) if found.ranges else 0
                if first >= len(found.content):
                    self.answer(416, b"")
                else:
                    self.answer(206 if first else 200, found.content[first:])
            else:
                self.answer(404, b"")

        def answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if found.breaks and code in {200, 206} and len(body) > 1000:
                found.breaks -= 1
                body = body[: len(body) // 3]
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("MESHCOURSE_CACHE", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("MESHCOURSE_ISTIO_RELEASES", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def test_fetched_once_and_can_be_run(mirror: Mirror) -> None:
    program = releases.istioctl("1.18.2")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "istioctl 1.18.2\n"
    assert [path.name for path in program.parent.iterdir()] == ["istioctl"]
    asked = len(mirror.asked)
    assert releases.istioctl("1.18.2") == program
    assert len(mirror.asked) == asked


def test_what_breaks_off_goes_on_where_it_stopped(mirror: Mirror) -> None:
    mirror.breaks = 2
    assert releases.istioctl("1.18.2").read_bytes() == PROGRAM
    third = len(mirror.content) // 3
    assert f"{releases.archive('1.18.2')} bytes={third}-" in mirror.asked


def test_the_next_run_goes_on_too(mirror: Mirror) -> None:
    mirror.breaks = releases.TRIES
    with pytest.raises(EngineError, match="several times"):
        releases.istioctl("1.18.2")
    assert releases.istioctl("1.18.2").read_bytes() == PROGRAM
    assert not mirror.asked[-1].endswith("bytes=0-")


def test_a_server_that_cannot_go_on_is_asked_from_the_beginning(mirror: Mirror) -> None:
    mirror.breaks, mirror.ranges = 1, False
    assert releases.istioctl("1.18.2").read_bytes() == PROGRAM


def test_another_content_than_published_is_refused_and_deleted(mirror: Mirror) -> None:
    mirror.digest = "0" * 64
    with pytest.raises(EngineError, match="not the one that Istio published") as refused:
        releases.istioctl("1.18.2")
    assert "0" * 64 in refused.value.why
    mirror.digest = hashlib.sha256(mirror.content).hexdigest()
    assert releases.istioctl("1.18.2").read_bytes() == PROGRAM


def test_a_release_that_there_is_not_is_named(mirror: Mirror) -> None:
    with pytest.raises(EngineError, match=r"9\.9\.9") as refused:
        releases.istioctl("9.9.9")
    assert "404" in refused.value.why


def test_nobody_who_answers_is_an_error_with_a_way_out(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_ISTIO_RELEASES", "http://127.0.0.1:1")
    with pytest.raises(EngineError, match="could not be fetched") as refused:
        releases.istioctl("1.18.2")
    assert "MESHCOURSE_ISTIO_RELEASES" in refused.value.next
