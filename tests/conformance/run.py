"""`make conformance`: Kubernetes' conformance specs on a cluster of its own, and CONFORMANCE.md.

    python tests/conformance/run.py                 all of them
    python tests/conformance/run.py --page          CONFORMANCE.md anew from the results that are kept
    SPECS='Ephemeral|hostPort' python ...           those whose names match one of these regular expressions
    python tests/conformance/run.py --quick         some twenty, of every kind; their results are not kept

Ctrl-C ends the specs and the cluster; nothing that was not measured is written.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import quick_set
import suite_images
import suite_programs as programs
import suite_results as results

from meshcourse.cluster import clusters
from meshcourse.core import progress
from meshcourse.core.errors import MeshcourseError, MissingPrerequisite
from meshcourse.engine import binaries
from meshcourse.node.images import more
from meshcourse.node.process import control_groups

PAGE = Path(__file__).parents[2] / "CONFORMANCE.md"
PROGRAMS = ("nc", "dig")
_EVENT = '{.metadata.namespace}{"\\t"}{.involvedObject.name}{"\\t"}{.reason}{"\\t"}{.message}{"\\n"}'


def main() -> int:
    """Run the specs, keep their results, and say how they went."""
    parser = argparse.ArgumentParser(description="Kubernetes' conformance specs on the embedded node")
    parser.add_argument("--procs", type=int, default=4, help="specs that run at the same time")
    parser.add_argument("--nodes", type=int, default=2, help="nodes of the cluster; two specs need two")
    parser.add_argument("--minutes", type=int, default=120, help="the run ends after so many")
    parser.add_argument("--page", action="store_true", help="only write CONFORMANCE.md from what is known")
    parser.add_argument("--quick", action="store_true", help="only the quick set, whose results are not kept")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not options.page:
            return _run(_quick() if options.quick else os.environ.get("SPECS", ""), options)
        _write_page(programs.ensure())
    except MeshcourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: nothing was written, and nothing runs any more.", file=sys.stderr)
        return 130
    return 0


def _run(pattern: str, options: argparse.Namespace) -> int:
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        why = "specs of the network run them in the image agnhost, which has this machine's programs"
        raise MissingPrerequisite(f"{' and '.join(lacking)} not installed", why=why, next="sudo apt install netcat-openbsd bind9-dnsutils")
    built = programs.ensure()
    who = results.WHO[0] if os.geteuid() == 0 else results.WHO[1]
    with _cluster(built, options.nodes) as (cluster, folder):
        events = folder / "events"
        with _following_events(cluster, events):
            junit = _ginkgo(built, cluster, folder, pattern, options)
        refused = results.refusals(events.read_text(encoding="utf-8", errors="replace").splitlines())
        found = results.read_junit(junit, refused, f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", _commit())
    if not found:
        print(f"No conformance spec matches {pattern!r}.", file=sys.stderr)
        return 1
    if not options.quick:
        results.save(who, {**results.load(who), **found})
        _write_page(built)
    bad = {name: each for name, each in found.items() if each.outcome != "passed"}
    for name, each in bad.items():
        print(f"{each.outcome}: {name}\n    {each.why}")
    print(f"{len(found) - len(bad)} of {len(found)} specs passed, as {who}: {PAGE}")
    return 1 if bad else 0


def _quick() -> str:
    try:
        control_groups.find()
    except control_groups.NoControlGroups:
        return quick_set.pattern(limits_hold=False)
    return quick_set.pattern(limits_hold=True)


@contextlib.contextmanager
def _cluster(built: Path, nodes: int) -> Iterator[tuple[clusters.Cluster, Path]]:
    """A cluster with the suite's images, in a folder that is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="meshcourse-conformance-"))
    os.environ["MESHCOURSE_STATE"] = str(folder / "state")
    name = f"conformance-{os.getpid()}"
    try:
        rows = folder / "images.json"
        rows.write_text(json.dumps(list(suite_images.rows(built))), encoding="utf-8")
        os.environ[more.VARIABLE] = str(rows)
        with progress.step("Starting a cluster"):
            cluster = clusters.up(name, ingress_port=0, nodes=nodes)
        yield cluster, folder
    finally:
        clusters.down(name)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _following_events(cluster: clusters.Cluster, path: Path) -> Iterator[None]:
    """Write every event to a file while the specs run: those of a namespace go with it."""
    words = [str(binaries.kubectl()), f"--kubeconfig={cluster.kubeconfig}", "get", "events", "-A", "--watch", f"--output=jsonpath={_EVENT}"]
    with path.open("wb") as file:
        follower = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            follower.kill()
            follower.wait()


def _ginkgo(built: Path, cluster: clusters.Cluster, folder: Path, pattern: str, options: argparse.Namespace) -> Path:
    """Run the specs and return ginkgo's report. What ginkgo says goes to build/conformance/ginkgo.log."""
    out = folder / "out"
    out.mkdir()
    log = PAGE.parent / "build" / "conformance" / ("quick.log" if options.quick else "ginkgo.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    focus = rf"({pattern}).*\[Conformance\]" if pattern else r"\[Conformance\]"
    words = [str(built / "ginkgo"), f"--procs={options.procs}", f"--timeout={options.minutes}m", "--no-color", "-v", f"--focus={focus}"]
    words += [f"--output-dir={out}", "--junit-report=junit.xml", str(built / "e2e.test"), "--"]
    words += ["--provider=local", f"--kubeconfig={cluster.kubeconfig}", f"--kubectl-path={binaries.kubectl()}", f"--e2e-output-dir={out}"]
    words += [f"--num-nodes={options.nodes}", "--node-os-distro=debian", "--disable-log-dump=true"]
    words += ["--system-pods-startup-timeout=2m", "--system-daemonsets-startup-timeout=1m", "--node-schedulable-timeout=1m"]
    with progress.step(f"Running the specs {pattern or 'all'} ({log})"), log.open("wb") as file:
        running = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        try:
            running.wait()
        finally:  # ginkgo's own goodbye takes up to half a minute, and the cluster ends anyway
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    junit = out / "junit.xml"
    if not junit.is_file():
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        raise MeshcourseError("ginkgo wrote no report.", why="\n".join(last), next=f"less {log}")
    return junit


def _write_page(built: Path) -> None:
    specs = results.all_specs(built / "conformance.yaml")
    versions = programs.versions()
    text = results.page(specs, {who: results.load(who) for who in results.WHO}, f"Kubernetes {versions['k8s.io/kubernetes']}")
    PAGE.write_text(text, encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=PAGE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
