"""A proxy's certificate, read from the JSON that istioctl prints."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshcourse.core.errors import MeshError
from meshcourse.mesh.envoy import certificates

NAME = "spiffe://cluster.local/ns/shop/sa/web"
BEGINS = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.UTC)


def secret(name: str, *uris: str) -> dict[str, Any]:
    """An entry as istioctl prints it, with a certificate for `uris`; none for no URI."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
    built = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer).public_key(key.public_key()).serial_number(255)
    built = built.not_valid_before(BEGINS).not_valid_after(BEGINS + dt.timedelta(hours=24))
    if uris:
        built = built.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=True)
    pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    chain = {"certificateChain": {"inlineBytes": base64.b64encode(pem + pem).decode()}}
    return {"name": name, "secret": {"name": name, "tlsCertificate": chain}}


def test_the_workload_s_own_certificate_is_read_and_not_the_root() -> None:
    found = certificates.parse({"dynamicActiveSecrets": [secret("ROOTCA", "spiffe://other"), secret("default", NAME)]}, "deployment/web")
    assert found.names == (NAME,)
    assert found.issuer == "O=cluster.local"
    assert found.ends - found.begins == dt.timedelta(hours=24)
    assert (found.serial, found.chain, len(found.fingerprint)) == ("ff", 2, 64)


def test_a_certificate_without_names_has_none() -> None:
    assert certificates.parse({"dynamicActiveSecrets": [secret("default")]}, "deployment/web").names == ()


@pytest.mark.parametrize("content", [{}, {"dynamicActiveSecrets": [{"name": "default", "secret": {}}]}], ids=["none", "warming"])
def test_a_proxy_without_a_certificate_is_named(content: dict[str, Any]) -> None:
    with pytest.raises(MeshError, match="deployment/web has no certificate") as caught:
        certificates.parse(content, "deployment/web")
    assert "proxy-config secret" in caught.value.next
