"""The Python that containers of our own images get."""

from __future__ import annotations

from pathlib import Path

from meshcourse.node.images import host_python


def test_interpreter_brings_what_it_needs_and_no_more() -> None:
    here = host_python.Interpreter.here()
    assert all(part.exists() for part in (here.executable, *here.parts))
    assert any((part / "http" / "server.py").is_file() for part in here.parts)
    mounted = {program.target for program in here.programs()}
    assert mounted == {str(path) for path in (here.executable, *here.parts) if not str(path).startswith(("/usr/", "/lib"))}
    assert here.links()["/usr/local/bin/python3"] == str(here.executable)
    assert host_python.Interpreter(Path("/usr/bin/python3")).programs() == ()


def test_loader_is_read_from_the_executable(tmp_path: Path) -> None:
    assert host_python.loader(Path("/bin/sh").resolve()).name.startswith("ld-")
    strange = tmp_path / "python3"
    strange.write_bytes(b"\x7fELF" + bytes(60) + b"/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2\0")
    assert str(host_python.loader(strange)) == "/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2"
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert host_python.loader(script) == script
