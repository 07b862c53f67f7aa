"""Learners who share one cluster, all working at once (minutes; not part of `make bench`): `python -m bench.classroom --learners 30`."""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from real_cluster import FENCE

from bench.__main__ import MANIFESTS, ROOT, proportional_memory
from meshcourse import lab
from meshcourse.backends import learners, rbac
from meshcourse.backends.programs import search_path
from meshcourse.cluster import clusters
from meshcourse.core import background, progress, settings
from meshcourse.kube.connection import Connection
from meshcourse.lab import session
from meshcourse.measure import labels
from meshcourse.measure.binomial import accepted
from meshcourse.mesh import propagation
from meshcourse.mesh.install import installation
from meshcourse.mesh.rules import weights
from meshcourse.traffic import pacing, sender
from meshcourse.traffic.targets import Target

ACCOUNTS = "meshcourse-learners"
WHAT = "pods,services,configmaps,gateways,virtualservices,destinationrules,sidecars,resourcequotas,networkpolicies"
LIMIT = 400.0


@dataclass
class Host:
    """The shared cluster, and its administrator's commands."""

    cluster: clusters.Cluster
    environment: Mapping[str, str]

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """The output of kubectl."""
        done = subprocess.run(
            ["kubectl", *words], env=self.environment, input=text, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr}")
        return done.stdout

    def prepare(self) -> None:
        """Rights for accounts, and the policies that separate learners; waits until the API server applies them."""
        self.kubectl("create", "namespace", ACCOUNTS)
        self.kubectl("apply", "-f", str(rbac.FILE), "-f", str(learners.FILE))
        self.kubectl("apply", "-f", "-", text=FENCE)
        group = f"--group=system:serviceaccounts:{ACCOUNTS}"
        for role in ("meshcourse", "meshcourse-fence"):
            self.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", group)
        self.kubectl("-n", "istio-system", "create", "rolebinding", "meshcourse", "--role=meshcourse", group)
        self.kubectl("label", "namespace", ACCOUNTS, f"{settings.PORT_LABEL}=20000")
        trial = ("-n", ACCOUNTS, "create", "service", "clusterip", "trial", "--tcp=80", "--dry-run=server", "-o", "yaml")
        wait_until(lambda: "exportTo" in self.kubectl(*trial))
        self.kubectl("label", "namespace", ACCOUNTS, f"{settings.PORT_LABEL}-")

    def account(self, name: str, path: Path) -> Path:
        """A kubeconfig for a new ServiceAccount."""
        self.kubectl("-n", ACCOUNTS, "create", "serviceaccount", name)
        content = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
        content["users"][0]["user"] = {"token": self.kubectl("-n", ACCOUNTS, "create", "token", name, "--duration=3h").strip()}
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def content(self) -> set[str]:
        """Everything that a learner could leave behind: namespaces, objects in them, the gateway's ports."""
        lists = [
            self.kubectl("get", "namespaces", "--no-headers", "-o", "custom-columns=:.metadata.name,:.metadata.labels"),
            self.kubectl("get", WHAT, "-A", "--no-headers", "-o", "custom-columns=:.kind,:.metadata.namespace,:.metadata.name"),
        ]
        return {*(" ".join(line.split()) for text in lists for line in text.splitlines()), *self.gateway_ports()}

    def gateway_ports(self) -> set[str]:
        """The ports on which the ingress gateway's Envoy listens."""
        words = ["istioctl", "proxy-config", "listeners", "deploy/istio-ingressgateway.istio-system", "-o", "json"]
        listed = json.loads(subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=True).stdout)
        return {f"listener {each['address']['socketAddress']['portValue']}" for each in listed}

    def pushes(self) -> tuple[float, int]:
        """(total seconds, number of pushes) in istiod's own histogram pilot_proxy_convergence_time."""
        (pod,) = self.kubectl("-n", "istio-system", "get", "pods", "-l", "app=istiod", "-o", "name").split()
        page = self.kubectl("get", "--raw", f"/api/v1/namespaces/istio-system/pods/{pod.partition('/')[2]}:15014/proxy/metrics")
        found = dict(re.findall(r"^pilot_proxy_convergence_time_(sum|count) (\S+)$", page, re.MULTILINE))
        return float(found["sum"]), int(float(found["count"]))

    def memory(self) -> dict[str, float]:
        """MB of PSS by program, and in total."""
        found: collections.Counter[str] = collections.Counter()
        for each in tree(self.cluster.pid):
            with contextlib.suppress(OSError, psutil.Error):
                page = Path(f"/proc/{each.pid}/smaps_rollup").read_text(encoding="ascii")
                found[each.name()] += sum(int(line.split()[1]) for line in page.splitlines() if line.startswith("Pss:"))
        return {"all": round(proportional_memory(self.cluster.pid) / 1e6)} | {
            name: round(kb * 1024 / 1e6) for name, kb in found.most_common(8)
        }


@dataclass
class Desk:
    """One learner, `number` from 1 on."""

    number: int
    folder: Path
    kubeconfig: Path
    kernel: subprocess.Popen[str] | None = field(default=None)

    @property
    def name(self) -> str:
        """The learner's name, which is also the cluster's in their state folder."""
        return f"l{self.number:02}"

    @property
    def environment(self) -> dict[str, str]:
        """For commands and for the kernel."""
        return {**os.environ, "MESHCOURSE_STATE": str(self.folder), "MESHCOURSE_CLUSTER": self.name, "PYTHONPATH": str(ROOT)}

    def meshcourse(self, *words: str) -> float:
        """Run a command; returns its duration in seconds."""
        began = time.monotonic()
        command = [sys.executable, "-m", "meshcourse.cli.main", *words, "--name", self.name]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=LIMIT, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(words)}: {done.stderr}")
        return time.monotonic() - began

    def attach(self) -> float:
        """`up`; returns its duration in seconds."""
        return self.meshcourse("up", "--backend", "existing", "--kubeconfig", str(self.kubeconfig), "--learner", self.name, "--yes")

    def ask(self, word: str, **given: object) -> dict[str, Any]:
        """The kernel's answer to one command; the first starts it. The answer's `seconds` are measured here."""
        began = time.monotonic()
        if self.kernel is None:
            words = [sys.executable, "-m", "bench.classroom", "--desk", self.name]
            with (self.folder / "kernel.log").open("w") as log:
                self.kernel = subprocess.Popen(
                    words,
                    env=self.environment,
                    cwd=ROOT / "notebooks",
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        assert self.kernel.stdin is not None and self.kernel.stdout is not None  # noqa: PT018, S101 - for the type checker
        self.kernel.stdin.write(json.dumps({"word": word, **given}) + "\n")
        self.kernel.stdin.flush()
        line = self.kernel.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: {word}: {(self.folder / 'kernel.log').read_text(encoding='utf-8')[-2000:]}")
        return {**json.loads(line), "seconds": time.monotonic() - began}

    def leave(self) -> float:
        """`down`, after ending the kernel."""
        self.close()
        return self.meshcourse("down")

    def close(self) -> None:
        """End the kernel, if it runs."""
        if self.kernel is not None and self.kernel.stdin is not None:
            self.kernel.stdin.close()
            self.kernel.wait(timeout=60)
            self.kernel = None


def desk(name: str) -> None:
    """A learner's kernel: commands come as JSON lines, answers go the same way; what lab prints goes to stderr."""

    def start() -> dict[str, object]:
        lab.chapter("05-canary")
        return {}

    def build() -> dict[str, object]:
        for number in ("01", "02", "05", "03", "04"):
            (manifest,) = MANIFESTS.glob(f"{number}-*.yaml")
            lab.apply(re.sub(r"This is version (v\d)", rf"This is \1 of {name}", manifest.read_text(encoding="utf-8")))
        lab.wait("web-v1", "web-v2")
        return {"missing": propagation.wait(session.current().connection, session.current().namespace, timeout=60).missing}

    def move(v2: int) -> dict[str, object]:
        begun = session.current()
        weights.write(begun.connection, begun.namespace, "web", {"v1": 100 - v2, "v2": v2})
        return {"missing": propagation.wait(begun.connection, begun.namespace, timeout=60).missing}

    def load(rate: float, requests: int) -> dict[str, object]:
        target = Target(session.current().connection.ingress_url + "/")
        label = labels.only(labels.body(r"This is (v\d of l\d+)"))
        found = background.run(sender.send(target, pacing.Constant(rate, requests), label=label))
        latencies = sorted(each.latency for each in found if each.ok)
        failures = collections.Counter(each.fault or str(each.status) for each in found if not each.ok)
        return {
            "seen": collections.Counter(each.version for each in found if each.ok),
            "failures": failures,
            "p50": statistics.median(latencies or [0]),
            "p99": latencies[int(len(latencies) * 0.99)] if latencies else 0,
        }

    does: dict[str, Callable[..., dict[str, object]]] = {"start": start, "build": build, "move": move, "load": load}
    out = sys.stdout
    for line in sys.stdin:
        given = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = does[given.pop("word")](**given)
        print(json.dumps(answer), file=out, flush=True)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The whole lesson."""
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="classroom-")))
        os.environ["MESHCOURSE_STATE"] = str(folder / "host")
        cluster = clusters.up("host", ingress_port=0)
        ending.callback(clusters.down, "host")
        environment = {**os.environ, "PATH": search_path(os.environ["PATH"]), "KUBECONFIG": str(cluster.kubeconfig)}
        installation.install(Connection(cluster.kubeconfig, cluster.ingress_url, environment))
        host = Host(cluster, environment)
        host.prepare()
        desks = []
        for number in range(1, options.learners + 1):
            (folder / f"l{number:02}").mkdir()
            desks.append(Desk(number, folder / f"l{number:02}", host.account(f"l{number:02}", folder / f"l{number:02}.kubeconfig")))
        for each in desks:
            ending.callback(each.close)
        found = lesson(host, desks, options.rate, options.seconds)
    return {"benchmark": "classroom", "learners": options.learners, **found, "ok": not found["wrong"]}


def lesson(host: Host, desks: list[Desk], rate: float, seconds: float) -> dict[str, Any]:
    """Attach, work, leave: the first and the last alone, the others at once, when their kernels use all of this machine."""
    found: dict[str, Any] = {}
    wrong: list[str] = []
    before, found["memory_mb_empty"] = host.content(), host.memory()
    with ThreadPoolExecutor(len(desks)) as everybody:

        def all_do(what: str, work: Callable[[Desk], Any], among: Iterable[Desk] = desks) -> list[Any]:
            """Run it for all at once; records each one's duration, and how much of a core the cluster used."""
            told, used, began = host.pushes(), tree_seconds(host.cluster.pid), time.monotonic()
            answers = list(everybody.map(work, among))
            wall = time.monotonic() - began
            took = [each["seconds"] if isinstance(each, dict) else each for each in answers]
            found[what] = {
                "each_s": [round(each, 2) for each in (min(took), statistics.median(took), max(took))],
                "all_s": round(wall, 1),
                "cluster_cores": round((tree_seconds(host.cluster.pid) - used) / wall, 2),
            }
            seconds_of_pushes, pushes = (now - before for now, before in zip(host.pushes(), told, strict=True))
            found[what] |= {"pushes": pushes, "push_ms": round(1000 * seconds_of_pushes / max(1, pushes), 1)}
            say(f"{what}: {found[what]}")
            wrong.extend(f"{what}: {each['missing']}" for each in answers if isinstance(each, dict) and each.get("missing"))
            return answers

        def loads(what: str, v2: Mapping[str, int]) -> None:
            answers = all_do(what, lambda each: each.ask("load", rate=rate, requests=round(rate * seconds)))
            for each, answer in zip(desks, answers, strict=True):
                wrong.extend(f"{what}: {line}" for line in judged(each.name, answer, v2[each.name]))
            found[what] |= {
                "requests": sum(sum(each["seen"].values()) for each in answers),
                "failures": dict(sum((collections.Counter(each["failures"]) for each in answers), collections.Counter())),
                "p50_ms": round(1000 * statistics.median(each["p50"] for each in answers), 1),
                "worst_p99_ms": round(1000 * max(each["p99"] for each in answers), 1),
            }

        first, rest, last = desks[:1], desks[1:-1], desks[-1:]
        all_do("attach_one", Desk.attach, first)
        all_do("first_cell_one", lambda each: each.ask("start"), first)
        all_do("canary_one", lambda each: each.ask("build"), first)
        all_do("attach", Desk.attach, rest)
        all_do("first_cell", lambda each: each.ask("start"), rest)
        all_do("canary", lambda each: each.ask("build"), rest)
        all_do("attach_last", Desk.attach, last)
        all_do("first_cell_last", lambda each: each.ask("start"), last)
        all_do("canary_last", lambda each: each.ask("build"), last)
        shares = {each.name: 10 for each in desks}
        loads("load", shares)
        found |= {
            "memory_mb": host.memory(),
            "memory_mb_kernels": round(sum(proportional_memory(each.kernel.pid) for each in desks if each.kernel) / 1e6),
            "memory_mb_forwards": round(sum(forwards(desks)) / 1e6),
            "pods": len(host.kubectl("get", "pods", "-A", "-o", "name").split()),
        }
        movers = desks[::2]
        shares |= {each.name: 20 + 2 * each.number for each in movers}
        all_do("weights_moved", lambda each: each.ask("move", v2=shares[each.name]), movers)
        loads("load_after", shares)
        all_do("down_one", Desk.leave, last)
        all_do("down", Desk.leave, [*first, *rest])
    with contextlib.suppress(TimeoutError):  # the gateway is updated a moment after the last one has left
        wait_until(lambda: host.content() == before)
    now_there = host.content()
    wrong.extend(f"left: {each}" for each in sorted(now_there - before))
    wrong.extend(f"gone: {each}" for each in sorted(before - now_there))
    wrong.extend(f"left: {path}" for each in desks for path in sorted((each.folder / "clusters").glob("*/*")) if path.name != "logs")
    folders = tuple(str(each.folder) for each in desks)
    words = ((each.pid, " ".join(each.info["cmdline"] or ())) for each in psutil.process_iter(["cmdline"]))
    wrong.extend(f"left: process {pid}: {line}" for pid, line in words if any(folder in line for folder in folders))
    return {**found, "wrong": wrong}


def judged(name: str, answer: Mapping[str, Any], v2: int) -> Iterator[str]:
    """What is wrong with one learner's answers."""
    seen = collections.Counter(answer["seen"])
    yield from (f"{name} saw {page!r}" for page in seen if not page.endswith(f" of {name}"))
    yield from (f"{name} had {count} x {failure}" for failure, count in answer["failures"].items())
    if seen[f"v2 of {name}"] not in accepted(max(1, seen.total()), v2 / 100):
        yield f"{name} has v2 at {v2} and saw {seen}"


def forwards(desks: Iterable[Desk]) -> list[int]:
    """Bytes of each learner's forwarder and its kubectl."""
    files = [path for each in desks for path in (each.folder / "clusters").glob("*/forward.pid")]
    return [proportional_memory(int(path.read_text(encoding="ascii"))) for path in files]


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def tree_seconds(pid: int) -> float:
    """Their processor time in seconds, including children that have ended."""
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def wait_until(holds: Callable[[], bool], within: float = 60.0) -> None:
    """Poll until the condition holds. Raises TimeoutError."""
    ends = time.monotonic() + within
    while not holds():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.5)


def say(line: str) -> None:
    """Progress, on stderr."""
    progress.console.print(line, markup=False, soft_wrap=True)


def main() -> int:
    """Measure and print, or run a learner's kernel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learners", type=int, default=30, help="3 or more: the first and the last come alone")
    parser.add_argument("--rate", type=float, default=5.0, help="requests per second of each")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--desk", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.desk:
        desk(options.desk)
        return 0
    found = measure(options)
    print(json.dumps(found))  # noqa: T201 - the benchmark's output
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
