"""Command line options of benchmarks on a running cluster."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from meshcourse.backends.programs import search_path
from meshcourse.kube.connection import Connection


def of_a_cluster(module: str | None) -> argparse.ArgumentParser:
    """Options `--kubeconfig FILE --url URL`, the URL of the ingress gateway."""
    parser = argparse.ArgumentParser(description=(module or "").splitlines()[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--url", required=True)
    return parser


def of_a_route(module: str | None, *, rate: float) -> argparse.ArgumentParser:
    """The same and `--virtual-service NAMESPACE/NAME [--route NAME] [--rate PER_SECOND]`; the pair comes as a list of two."""
    parser = of_a_cluster(module)
    parser.add_argument("--virtual-service", type=lambda text: text.split("/"), required=True, metavar="NAMESPACE/NAME")
    parser.add_argument("--route")
    parser.add_argument("--rate", type=float, default=rate)
    return parser


def connection(options: argparse.Namespace) -> Connection:
    """The cluster that the options name, with kubectl on PATH."""
    return Connection(options.kubeconfig, options.url.rstrip("/"), {"PATH": search_path(os.environ["PATH"])})
