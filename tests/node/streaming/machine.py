"""A Runtime of programs on this machine, behind the real Server with real TLS, for the tests of streaming."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshcourse.node.process.processes import Process
from meshcourse.node.streaming.runtime import LogSource, NotRunning
from meshcourse.node.streaming.server import Server


@dataclass
class Machine:
    """One pod `default/pod`: container `main`; another one, `waiting`, has not started."""

    log_file: Path
    process: Process | None = None
    ended: bool = False
    entered: list[list[str]] = field(default_factory=list)

    def _check(self, namespace: str, pod: str, container: str) -> None:
        if (namespace, pod) != ("default", "pod"):
            raise LookupError(f'pod "{pod}" does not exist')
        if container == "waiting":
            raise NotRunning(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
        if container != "main":
            raise LookupError(f'container "{container}" not found in pod "{pod}"')

    def log(self, namespace: str, pod: str, container: str, previous: bool) -> LogSource:  # noqa: FBT001
        self._check(namespace, pod, container)
        return LogSource(self.log_file.with_name("previous.log") if previous else self.log_file, lambda: self.ended)

    def enter(self, namespace: str, pod: str, container: str, command: list[str], tty: bool) -> list[str]:  # noqa: FBT001
        self._check(namespace, pod, container)
        self.entered.append([*command, str(tty)])
        return command

    def attach(self, namespace: str, pod: str, container: str) -> Process:
        self._check(namespace, pod, container)
        assert self.process is not None
        return self.process

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._check(namespace, pod, "main")
        return await asyncio.open_connection("127.0.0.1", port)

    def pods(self) -> list[dict[str, Any]]:
        return [{"metadata": {"name": "pod", "namespace": "default"}}]


@dataclass(frozen=True)
class Kubelet:
    """The running server, and a client that it trusts."""

    machine: Machine
    session: aiohttp.ClientSession
    url: str
    tls: ssl.SSLContext


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server that demands client certificates, and for a client that has one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "both.pem"
    plain = serialization.NoEncryption()
    key_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key_text)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pem))
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(pem))
    for context in (server, client):
        context.load_cert_chain(pem)
    return server, client


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Kubelet]:
    """Serve a Machine on a free port of this machine."""
    server_tls, client_tls = contexts(folder)
    machine = Machine(folder / "container.log")
    async with (
        Server(machine, "localhost", 0, server_tls) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_tls)) as session,
    ):
        yield Kubelet(machine, session, f"https://localhost:{server.port}", client_tls)
