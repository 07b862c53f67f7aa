"""How fast the node is: a hundred pods of one Deployment until all are Ready, and `true` run in a container through the API server.

An exec counts from the opening of its websocket to its end. kubectl, whose own start takes longer, is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time

from kubernetes.stream import stream

from bench import arguments

PODS, WITHIN = 100, 15.0
EXECS, EXEC_MS = 50, 10.0


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Make the pods, enter one of them again and again, delete them."""
    connection, name = arguments.connection(options), "hundred"

    def kubectl(*words: str) -> str:
        return subprocess.run(["kubectl", *words], env=connection.child_environment(), check=True, stdout=subprocess.PIPE, text=True).stdout

    began = time.perf_counter()
    kubectl("create", "deployment", name, "--image=busybox", f"--replicas={PODS}", "--", "sleep", "3600")
    try:
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
        ready = time.perf_counter() - began
        pod = kubectl("get", "pods", "-l", f"app={name}", "-o", "jsonpath={.items[0].metadata.name}")
        call, seconds = connection.core().connect_get_namespaced_pod_exec, list[float]()
        for _ in range(EXECS):
            began = time.perf_counter()
            stream(call, pod, "default", command=["true"], stdout=True, stderr=True)
            seconds.append(time.perf_counter() - began)
    finally:
        kubectl("delete", "deployment", name, "--cascade=foreground")
    middle = 1000 * statistics.median(seconds)
    return {
        "benchmark": "pods",
        "hundred_ready_s": round(ready, 2),
        "exec_ms": round(middle, 1),
        "exec_p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
        "at_most": {"hundred_ready_s": WITHIN, "exec_ms": EXEC_MS},
        "ok": ready <= WITHIN and middle <= EXEC_MS,
    }


def main() -> None:
    """Measure and print."""
    print(json.dumps(measure(arguments.of_a_cluster(__doc__).parse_args())))  # noqa: T201 - the benchmark's output


if __name__ == "__main__":
    main()
