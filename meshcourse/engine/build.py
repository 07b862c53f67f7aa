"""Build the upstream programs from their published Go modules, once per user and version.

One `go build` makes all programs, so what they share is compiled once. Unfinished work is in `<key>.building`; it stays when the build
is stopped, so that the next one continues, and one rename makes the finished folder. So an interrupted or failed build, or two at a time,
never leave a broken engine. GOCACHE and GOMODCACHE, when set, are used and kept; otherwise what was downloaded and compiled (about 5 GB)
is deleted at the end, in the background: it is renamed first, and what a stopped deletion left is deleted by the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import errors, files, progress
from meshcourse.engine import binaries, toolchain
from meshcourse.engine.build_progress import LIST_FORMAT, Compilation, plan

SPACE: Final = 7_000_000_000
"""Bytes on disk that a build needs at most: 4 GB compiled, 1.1 GB of modules, 0.5 GB of programs, the linker's files."""

LAST_LINES: Final = 15
"""How much of go's output an error shows."""


LEFTOVER: Final = "leftover-"
"""How the names of folders begin that are only there to be deleted."""

NAMED: Final = 3
"""At most so many unfinished programs are named in a line."""


@dataclass(frozen=True)
class Recipe:
    """What to build: tests build a small module, the course always `ENGINE`.

    `extra` maps a file's name in the result to (module, path inside it), or is empty.
    """

    source: Path
    programs: tuple[binaries.Program, ...]
    flags: tuple[str, ...]
    extra: Mapping[str, tuple[str, str]]
    space: int = SPACE


ENGINE: Final = Recipe(
    binaries.SOURCE, binaries.PROGRAMS, binaries.FLAGS, {binaries.BOOTSTRAP: ("istio.io/istio", binaries.BOOTSTRAP_IN_ISTIO)}
)


class Build:
    """One build of `recipe` into the folder `target`."""

    def __init__(self, recipe: Recipe, target: Path) -> None:
        self.recipe = recipe
        self.target = target
        self.work = target.with_name(f"{target.name}.building")
        self.staging = self.work / "bin"
        self.log = self.work / "build.log"

    def run(self) -> Path:
        """Build unless the target exists, and return it. Raises EngineError. After an interrupt the next run continues."""
        self._folders()
        with self._lock() as lock:
            if not self._complete(self.target):
                self._build(lock)
        return self.target

    def _complete(self, folder: Path) -> bool:
        names = (*(program.name for program in self.recipe.programs), *self.recipe.extra, binaries.MANIFEST)
        return all((folder / name).is_file() for name in names)

    def _folders(self) -> None:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.EngineError(
                f"The engine's folder {self.target.parent} cannot be made.",
                why=str(error),
                next="MESHCOURSE_CACHE=/a/folder/of/yours meshcourse engine build",
            ) from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """One builder at a time. The go command inherits the lock, so it holds even when this process is killed."""
        path = self.target.with_name(f"{self.target.name}.lock")
        try:
            lock = files.lock(path, wait=False)
        except BlockingIOError:
            with progress.step("Waiting for another build of the engine to end"):
                lock = files.lock(path)
        try:
            yield lock
        finally:
            os.close(lock)

    def _build(self, lock: int) -> None:
        started = time.monotonic()
        go = toolchain.find()
        self._check_space()
        for folder in (self.staging, self.work / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        environment = toolchain.environment(
            os.environ,
            build_cache=Path(os.environ.get("GOCACHE") or self.work / "compiled"),
            modules=Path(os.environ["GOMODCACHE"]) if os.environ.get("GOMODCACHE") else toolchain.module_cache(go),
            work=self.work,
        )
        with self.log.open("w", encoding="utf-8", buffering=1) as log:
            run = _Go(go.go, self.recipe.source, environment, lock, log.write)
            compilation = self._list(run)
            self._compile(run, compilation)
            self._gather(run)
            versions = self._versions(run)
        manifest = {
            "key": self.target.name,
            "go": ".".join(map(str, go.version)),
            "seconds": round(time.monotonic() - started, 1),
            "programs": {program.name: versions.get(program.module, "") for program in self.recipe.programs},
        }
        (self.staging / binaries.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        self._publish()

    def _check_space(self) -> None:
        """Fail now when the disk is too small, not after eight minutes."""
        folder = self.target.parent
        have, need = shutil.disk_usage(folder).free + _size(self.work), self.recipe.space
        if have < need:
            raise errors.EngineError(
                "There is too little space on the disk to build the engine.",
                why=f"It needs {need / 1e9:.1f} GB for some minutes and 0.5 GB after; {folder} has {have / 1e9:.1f} GB.",
                next="MESHCOURSE_CACHE=/a/folder/on/a/larger/disk meshcourse engine build",
            )

    def _list(self, run: _Go) -> Compilation:
        """Download what is needed and find out what is left to compile (an interrupted build's work is in its cache)."""
        sums = self.recipe.source / "go.sum"
        expected = sum("/go.mod " not in line for line in sums.read_text().splitlines()) if sums.is_file() else 0
        with progress.step("Downloading the sources of Kubernetes, Istio, etcd and CoreDNS") as step:
            downloaded = Compilation(plan("", ()))
            output: list[str] = []

            def line(text: str) -> None:
                output.append(text)
                downloaded.line(text)
                step.update(f"{downloaded.downloaded} modules", min(1.0, downloaded.downloaded / max(1, expected)))

            packages = [program.package for program in self.recipe.programs]
            run(["list", "-deps", "-f", LIST_FORMAT, *self.recipe.flags, *packages], line)
        return Compilation(plan("\n".join(output), ((program.built_as, program.package) for program in self.recipe.programs)))

    def _compile(self, run: _Go, compilation: Compilation) -> None:
        names = {program.built_as: program.name for program in self.recipe.programs}
        started = time.monotonic()
        with progress.step(f"Building {len(names)} programs") as step:

            def look() -> None:
                there = (name for name in names if (self.staging / name).is_file())
                for name in compilation.appeared(there):
                    left = [names[each] for each in compilation.left]
                    after = f"; left: {', '.join(left)}" if 0 < len(left) <= NAMED else f"; {len(left)} left" if left else ""
                    progress.console.print(f"  {names[name]} [dim]after {time.monotonic() - started:.0f} s{after}[/dim]")
                step.update(str(compilation), compilation.share)

            packages = [program.package for program in self.recipe.programs]
            run(["build", "-v", *self.recipe.flags, "-o", f"{self.staging}/", *packages], compilation.line, look)

    def _gather(self, run: _Go) -> None:
        """Rename each program to its own name, and add the files that Istio's images have."""
        for program in self.recipe.programs:
            if program.built_as != program.name:
                (self.staging / program.built_as).replace(self.staging / program.name)
        for name, (module, path) in self.recipe.extra.items():
            folder: list[str] = []
            run(["list", "-m", "-f", "{{.Dir}}", module], folder.append)
            shutil.copyfile(Path(folder[-1]) / path, self.staging / name)

    def _versions(self, run: _Go) -> dict[str, str]:
        lines: list[str] = []
        run(["list", "-m", "-f", "{{.Path}} {{.Version}}", *sorted({program.module for program in self.recipe.programs})], lines.append)
        return {path: version for path, _, version in (line.partition(" ") for line in lines)}

    def _publish(self) -> None:
        shutil.copyfile(self.log, self.staging / "build.log")
        shutil.rmtree(self.target, ignore_errors=True)
        self.staging.rename(self.target)
        self.work.rename(self.target.with_name(f"{LEFTOVER}{time.time_ns()}-{self.target.name}"))


class _Go:
    """Runs the go command in `source`; every line goes to the log and to the caller."""

    def __init__(self, go: Path, source: Path, environment: Mapping[str, str], lock: int, log: Callable[[str], object]) -> None:
        self._go = go
        self._source = source
        self._environment = environment
        self._lock = lock
        self._log = log

    def __call__(self, words: list[str], line: Callable[[str], object], tick: Callable[[], object] = lambda: None) -> None:
        """Raises EngineError when go fails. `tick` is called twice a second and after the end."""
        lines: list[str] = []
        process = subprocess.Popen(
            [self._go, *words],
            cwd=self._source,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the whole group
            pass_fds=(self._lock,),
        )
        try:
            for text in _lines(process, tick):
                lines.append(text)
                self._log(f"{text}\n")
                line(text)
            process.wait()
        finally:
            _end(process)
        tick()
        if process.returncode != 0:
            raise failure(lines, self._environment["GOTMPDIR"])


def _lines(process: subprocess.Popen[bytes], tick: Callable[[], object]) -> Iterator[str]:
    """Lines of the process's output as they come."""
    assert process.stdout is not None  # noqa: S101 - it is started with a pipe
    pipe = process.stdout.fileno()
    rest = b""
    while True:
        if select.select([pipe], [], [], 0.5)[0]:
            data = os.read(pipe, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
        tick()
    if rest:
        yield rest.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything that it started, unless it has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
    if process.stdout is not None:
        process.stdout.close()


def failure(lines: list[str], folder: str) -> errors.EngineError:
    """The error for a go command that failed with this output."""
    text = "\n".join(lines)
    log = Path(folder).parent / "build.log"
    again = "meshcourse engine build    # continues where it stopped"
    if "no space left on device" in text:
        why, again = f"the disk that holds {log.parent} is full.", f"df -h {log.parent}    # make room, then: meshcourse engine build"
    elif any(sign in text for sign in ("dial tcp", "no such host", "i/o timeout", "proxyconnect", "TLS handshake", "connection refused")):
        why = "Go modules could not be downloaded: " + next(line for line in reversed(lines) if line.strip())
    elif "signal: killed" in text:
        why, again = (
            "a compiler was killed, most likely because memory ran out.",
            "GOMAXPROCS=1 meshcourse engine build    # one compiler at a time",
        )
    else:
        complaints = [line for line in lines if " " in line]  # the others are names of packages, which -v prints
        why = "the output of go ends with:\n  " + "\n  ".join(complaints[-LAST_LINES:])
    return errors.EngineError("The engine could not be built.", why=f"{why}\nThe whole output of go: {log}", next=again)


def _size(folder: Path) -> int:
    """Bytes on disk below `folder`; 0 when it does not exist."""
    return sum(os.lstat(os.path.join(root, name)).st_blocks * 512 for root, _, names in os.walk(folder) for name in names)  # noqa: PTH118 - a hundred thousand files


def ensure(*, tidy: bool = False) -> Path:
    """The folder of the engine, built first if necessary. Raises EngineError.

    What a build left behind is deleted in the background; with `tidy` it is gone on return.
    """
    chosen = binaries.home()
    if chosen != binaries.built():
        absent = binaries.missing(chosen)
        if absent:
            raise errors.EngineError(
                f"The engine in {chosen} lacks {', '.join(absent)}.",
                why="MESHCOURSE_ENGINE or the installed meshcourse-engine wheel names this folder.",
                next="unset MESHCOURSE_ENGINE; meshcourse engine build",
            )
        return chosen
    built = chosen if not binaries.missing(chosen) else Build(ENGINE, chosen).run()
    delete_leftovers(built.parent, wait=tidy)
    return built


def delete_leftovers(folder: Path, *, wait: bool) -> None:
    """Delete what finished builds left in `folder`: at once, or by a process of its own, which Ctrl-C does not reach."""
    leftovers = tuple(folder.glob(f"{LEFTOVER}*"))
    if leftovers and wait:
        with progress.step("Deleting what the build left behind"):
            for each in leftovers:
                shutil.rmtree(each, ignore_errors=True)
    elif leftovers:
        words = ["sh", "-c", 'nice rm -rf -- "$@" &', "sh", *map(str, leftovers)]
        nothing = subprocess.DEVNULL
        subprocess.run(words, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, check=False)


def old() -> tuple[Path, ...]:
    """Engines of other versions of the package, and what their unfinished builds left. `meshcourse engine prune` deletes them."""
    folder = binaries.caches()
    keep = binaries.built().name
    return tuple(sorted(each for each in folder.iterdir() if not each.name.startswith(keep))) if folder.is_dir() else ()


def prune() -> int:
    """Delete `old()`; returns the bytes freed."""
    freed = 0
    for each in old():
        freed += _size(each) if each.is_dir() else each.stat().st_size
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    return freed
