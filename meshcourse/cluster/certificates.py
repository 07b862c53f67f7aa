"""The cluster's certificates: its authorities, and a key pair for each component, made at every start.

P-256 keys: making all of them takes a few milliseconds.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Identity:
    """The subject of a certificate: user (CN), groups (O), and for servers their names and addresses.

    `also_client`: a server that asks others of its kind (etcd).
    """

    file: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    also_client: bool = False


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(user: str, groups: Sequence[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """A certificate authority called `name`; `folder` receives ca.crt, ca.key and every pair issued."""

    def __init__(self, folder: Path, name: str = "meshcourse-ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)

    def create(self) -> Pair:
        """Write ca.crt and ca.key."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate = (
            self._builder(self._subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return self._pair("ca", certificate, self._key)

    def issue(self, identity: Identity) -> Pair:
        """Write <file>.crt and <file>.key for `identity`."""
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] if identity.hosts else []
        purposes += [ExtendedKeyUsageOID.CLIENT_AUTH] if identity.also_client or not identity.hosts else []
        builder = (
            self._builder(_name(identity.user, identity.groups), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        )
        if identity.hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in identity.hosts])
            builder = builder.add_extension(names, critical=False)
        return self._pair(identity.file, builder.sign(self._key, hashes.SHA256()), key)

    def issue_signing_key(self) -> Pair:
        """Write the key that signs service-account tokens: sa.pub (in `certificate`) and sa.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return Pair(_write(self._folder / "sa.pub", public), _write(self._folder / "sa.key", _pem(key)))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            # An hour back, for a clock that is set while the cluster starts (a laptop that wakes, a VM that resumes).
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _pair(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
        public = certificate.public_bytes(serialization.Encoding.PEM)
        return Pair(_write(self._folder / f"{file}.crt", public), _write(self._folder / f"{file}.key", _pem(key)))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
