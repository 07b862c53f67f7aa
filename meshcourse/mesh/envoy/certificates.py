"""A proxy's identity: the certificate that istiod has issued to it, read from the running Envoy.

`parse` is pure. The private key stays in the proxy: istioctl blanks it before it prints.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.injection import sidecars
from meshcourse.mesh.install import istioctl

WORKLOAD: Final = "default"
"""Envoy's name for the secret that holds its own certificate."""


@dataclass(frozen=True)
class Identity:
    """One certificate. `names` are its URIs: one SPIFFE identity, `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    begins: dt.datetime
    ends: dt.datetime
    serial: str
    fingerprint: str
    """SHA-256 in hexadecimal, the value of `Hash=` in X-Forwarded-Client-Cert."""
    chain: int
    """Number of certificates in the chain, this one included."""


def command(namespace: str, workload: str) -> list[str]:
    """The istioctl command, as a person would type it."""
    return ["istioctl", "-n", namespace, "proxy-config", "secret", workload]


def read(connection: Connection, namespace: str, workload: str) -> Identity:
    """The identity of a workload's proxy ("deployment/orders-v1"). Raises MeshError when it cannot be read or does not exist."""
    sidecars.proxied(connection, namespace, workload)
    return parse(istioctl.read_json(connection, *command(namespace, workload)[1:]), workload)


def parse(content: Mapping[str, Any], workload: str) -> Identity:
    """The identity in the JSON of `istioctl proxy-config secret`. Raises MeshError when the workload's own certificate is not in it."""
    for entry in content.get("dynamicActiveSecrets", ()):
        if entry.get("name") != WORKLOAD:
            continue
        encoded = entry.get("secret", {}).get("tlsCertificate", {}).get("certificateChain", {}).get("inlineBytes", "")
        chain = x509.load_pem_x509_certificates(base64.b64decode(encoded)) if encoded else []
        if chain:
            return described(chain[0], len(chain))
    raise errors.MeshError(
        f"The proxy of {workload} has no certificate of its own.",
        why="istiod signs one when the pod starts; it may not be ready yet",
        next=f"istioctl proxy-config secret {workload}",
    )


def described(certificate: x509.Certificate, chain: int) -> Identity:
    """The identity in one certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        uris: tuple[str, ...] = ()
    else:
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    return Identity(
        uris,
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        f"{certificate.serial_number:x}",
        certificate.fingerprint(hashes.SHA256()).hex(),
        chain,
    )
