"""The programs of a Kubernetes node and of its control plane's images, built from their published Go modules once per user and version.

kubelet, kubeadm and CoreDNS are built with the versions of engine/go.mod, the same as the API server's; an older Kubernetes with those of
its own. What a stopped build has compiled is kept, and the next build continues from there; GOCACHE and GOMODCACHE are used when set.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshcourse.core import paths, progress, settings
from meshcourse.core.errors import EngineError
from meshcourse.engine import binaries, toolchain
from meshcourse.engine.go_programs import KIND

SOURCES: Final = Path(__file__).parent / "programs"
SPACE: Final = 9_000_000_000
"""Bytes of disk that a first build needs temporarily."""
_LIMIT: Final = 5400.0


@dataclass(frozen=True)
class GoModule:
    """Main packages of one published module at one version; `tags` are Go's build tags."""

    name: str
    module: str
    version: str
    packages: tuple[str, ...]
    tags: str = ""

    @property
    def programs(self) -> tuple[str, ...]:
        """The names that `go install` gives them."""
        return tuple(package.rpartition("/")[2] for package in self.packages)


CONTAINERD: Final = GoModule(
    "containerd",
    "github.com/containerd/containerd/v2",
    "v2.3.4",
    ("cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"),
    "no_aufs no_zfs no_btrfs no_devmapper",
)
CNI: Final = GoModule(
    "cni-plugins",
    "github.com/containernetworking/plugins",
    "v1.9.1",
    ("plugins/main/loopback", "plugins/main/ptp", "plugins/ipam/host-local", "plugins/meta/portmap"),
)
CRICTL: Final = GoModule("crictl", "sigs.k8s.io/cri-tools", "v1.34.0", ("cmd/crictl",))
MODULES: Final = (CONTAINERD, CNI, CRICTL)

NODE: Final = {
    "pause": "./pause",
    "coredns": "./coredns",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kubeadm": "k8s.io/kubernetes/cmd/kubeadm",
}
"""Built with engine/go.mod: the program's name, and its package."""

OLDER: Final = {"1.28": "1.28.15", "1.23": "1.23.17"}
"""Older versions of Kubernetes that node images can be made for: those of the kind images that public clusters use."""
_DEFINITIONS: Final = "pkg/generated/openapi/zz_generated.openapi.go"
_MARK: Final = "\n// +k8s:openapi-gen="
_NO_API: Final = ("k8s.io/sample-", "k8s.io/code-generator")
_PART: Final = re.compile(r"^\t(k8s\.io/\S+) => \./staging/\S+", re.MULTILINE)
_PROGRAMS: Final = ("kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")


def key() -> str:
    """Sixteen hex digits that change whenever a build would."""
    digest = hashlib.sha256()
    for file in (binaries.SOURCE / "go.mod", binaries.SOURCE / "go.sum", *sorted(SOURCES.rglob("*.go"))):
        digest.update(file.read_bytes())
    digest.update(repr((MODULES, NODE, binaries.FLAGS, binaries.target())).encode())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """The folder of the programs, which may not exist yet."""
    return paths.cache() / "node-programs" / key()


def ensure() -> Mapping[str, Path]:
    """Every program by its name, built first when one is missing. Raises EngineError."""
    target = folder()
    names = (*NODE, *(name for module in MODULES for name in module.programs))
    if not target.is_dir():
        _build(target, _of_the_engine)
    return {name: target / name for name in names}


def ensure_older(version: str) -> Mapping[str, Path]:
    """The programs of an older Kubernetes (a value of OLDER) by name, built first when one is missing. Raises EngineError."""
    digest = hashlib.sha256(repr((version, _PROGRAMS, flags_of(version), binaries.target())).encode()).hexdigest()[:16]
    target = paths.cache() / "node-programs" / f"{version}-{digest}"
    if not target.is_dir():
        try:
            _build(target, lambda go, work, staging: _of_a_release(version, go, work, staging))
        except EngineError as error:
            again = f"images make --k8s {version.rpartition('.')[0]}"
            raise EngineError(error.what, why=error.why, next=error.next.replace("images make", again)) from error
    return {name: target / name for name in _PROGRAMS}


def kind_sources() -> Path:
    """The module of kind itself, with the files of a node's image. Raises EngineError."""
    return _sources(f"sigs.k8s.io/kind@{KIND.version}", toolchain.find(), _work(folder()))


def _sources(module: str, go: toolchain.Toolchain, work: Path) -> Path:
    argv = [str(go.go), "mod", "download", "-json", module]
    done = subprocess.run(argv, env=_environment(go, work), cwd="/", capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise failure(f"The source of {module}", done.stdout + done.stderr)
    return Path(json.loads(done.stdout)["Dir"])


def _work(target: Path) -> Path:
    work = target.with_name(f"{target.name}.building")
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    return work


def _environment(go: toolchain.Toolchain, work: Path) -> dict[str, str]:
    modules = Path(os.environ["GOMODCACHE"]) if os.environ.get("GOMODCACHE") else toolchain.module_cache(go)
    given = os.environ.get("GOCACHE")
    return toolchain.environment(os.environ, build_cache=Path(given or work / "compiled"), modules=modules, work=work)


def _build(target: Path, into: Callable[[toolchain.Toolchain, Path, Path], None]) -> None:
    """Let `into` build into a folder that becomes `target` once all is there."""
    go, work = toolchain.find(), _work(target)
    if (free := shutil.disk_usage(work).free) < SPACE:
        raise EngineError(
            "There is too little free disk space to build a node's programs.",
            why=f"It needs {SPACE / 1e9:.0f} GB for some minutes and 0.4 GB afterwards; {work.parent} has {free / 1e9:.1f} GB.",
            next="MESHCOURSE_CACHE=/a/folder/on/a/larger/disk meshcourse images make",
        )
    staging = work / "bin"
    staging.mkdir(exist_ok=True)
    shutil.rmtree(work / "source", ignore_errors=True)
    into(go, work, staging)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    with progress.step("Deleting the build's temporary files"):
        shutil.rmtree(work, ignore_errors=True)


def _of_the_engine(go: toolchain.Toolchain, work: Path, staging: Path) -> None:
    source = work / "source"
    shutil.copytree(SOURCES, source)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(binaries.SOURCE / name, source / name)
    environment = {**_environment(go, work), "GOBIN": str(staging)}
    for module in MODULES:
        packages = [f"{module.module}/{package}@{module.version}" for package in module.packages]
        _run(
            f"{module.name} {module.version}",
            [str(go.go), "install", *binaries.FLAGS, f"-tags={module.tags}", *packages],
            environment,
            work,
        )
    for name, package in NODE.items():
        argv = [str(go.go), "build", "-mod=mod", *binaries.FLAGS, "-o", f"{staging}/", package]
        _run(f"{name}, Kubernetes {settings.KUBERNETES}" if "k8s.io" in package else name, argv, environment, source)


def _of_a_release(version: str, go: toolchain.Toolchain, work: Path, staging: Path) -> None:
    """Build in a copy of Kubernetes' module."""
    source = work / "source"
    module = _sources(f"k8s.io/kubernetes@v{version}", go, work)
    shutil.copytree(module, source, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("vendor"))
    for folder, _, _ in os.walk(source):  # the module cache is read-only
        Path(folder).chmod(0o755)
    content, parts = published((source / "go.mod").read_text(encoding="utf-8"), version)
    (source / "go.mod").write_text(content, encoding="utf-8")
    environment = {**_environment(go, work), "GOFLAGS": "-mod=mod"}
    if not (source / _DEFINITIONS).is_file():
        folders = {part: _sources(f"{part}@v0{version[1:]}", go, work) for part in parts if not part.startswith(_NO_API)}
        _generate_definitions(version, {"k8s.io/kubernetes/pkg": source / "pkg", **folders}, go, work, environment)
    for name in _PROGRAMS:
        argv = [str(go.go), "build", *flags_of(version), "-o", f"{staging}/", f"./cmd/{name}"]
        _run(f"{name}, Kubernetes {version}", argv, environment, source)


def published(content: str, version: str) -> tuple[str, tuple[str, ...]]:
    """Kubernetes' go.mod with its own parts as published modules (v0.28.15 for 1.28.15) in place of folders; and the parts' names."""
    return _PART.sub(rf"\t\1 => \1 v0{version[1:]}", content), tuple(_PART.findall(content))


def _generate_definitions(
    version: str, folders: Mapping[str, Path], go: toolchain.Toolchain, work: Path, environment: Mapping[str, str]
) -> None:
    """The API server's OpenAPI definitions, which Kubernetes' modules before 1.24 leave out; their own generator makes them.

    `folders` are the sources of types, by the path of their package.
    """
    source = work / "source"
    generator = re.search(r"^\tk8s\.io/kube-openapi (v\S+)", (source / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    assert generator is not None  # noqa: S101 - every Kubernetes since 1.5 requires it
    install = [str(go.go), "install", f"k8s.io/kube-openapi/cmd/openapi-gen@{generator[1]}"]
    _run("openapi-gen", install, {**_environment(go, work), "GOBIN": str(work / "tools")}, work)
    wanted = [package for base, folder in folders.items() for package in defining(base, folder)]
    package = _DEFINITIONS.rpartition("/")[0]
    argv = [str(work / "tools" / "openapi-gen"), "-O", "zz_generated.openapi", "-p", f"k8s.io/kubernetes/{package}"]
    argv += ["-o", str(work / "generated"), "-h", str(source / "hack/boilerplate/boilerplate.generatego.txt")]
    argv += ["-r", str(work / "violations"), "-i", ",".join(wanted)]
    path = f"{go.go.parent}{os.pathsep}{environment['PATH']}"  # the generator calls go
    _run(f"OpenAPI definitions, Kubernetes {version}", argv, {**environment, "PATH": path}, source)
    shutil.copyfile(work / "generated" / "k8s.io/kubernetes" / _DEFINITIONS, source / _DEFINITIONS)


def defining(package: str, folder: Path) -> Iterator[str]:
    """The packages below `folder` whose types are to have definitions."""
    for path in sorted({file.parent for file in folder.rglob("*.go") if _MARK in file.read_text(encoding="utf-8", errors="replace")}):
        if "example" not in path.relative_to(folder).as_posix():
            yield f"{package}/{path.relative_to(folder).as_posix()}".removesuffix("/.")


def flags_of(version: str) -> tuple[str, ...]:
    """Flags for building this version of Kubernetes; the linker writes the version into its programs."""
    major, minor, _ = version.split(".")
    stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    written = " ".join(
        f"-X k8s.io/{part}/version.{name}={value}" for part in ("component-base", "client-go/pkg") for name, value in stamps.items()
    )
    return (*binaries.FLAGS[:-1], f"-ldflags=-s -w {written}")


def _run(what: str, argv: list[str], environment: Mapping[str, str], cwd: Path) -> None:
    with progress.step(f"Building {what}"):
        done = subprocess.run(
            argv, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    if done.returncode:
        raise failure(what, done.stderr)


def failure(what: str, output: str) -> EngineError:
    """The error for a go command that failed with this output."""
    again = "meshcourse images make    # continues where it stopped"
    if "no space left on device" in output:
        again = "df -h    # free some space, or use another disk: MESHCOURSE_CACHE=... meshcourse images make"
    return EngineError(f"{what} could not be built.", why="\n  ".join(["go printed:", *output.strip().splitlines()[-8:]]), next=again)
