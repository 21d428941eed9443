"""Self-signed certificates, and services that use them."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.service import RunningService


def make_pair(serial: int, *, passphrase: bytes | None = None) -> tuple[bytes, bytes]:
    """A certificate for localhost with this serial number, and its private key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)


def write_pair(cert: Path, key: Path, serial: int) -> None:
    """Put a new pair into the files, as a renewal does."""
    cert_pem, key_pem = make_pair(serial)
    cert.write_bytes(cert_pem)
    key.write_bytes(key_pem)


class TlsService(NamedTuple):
    """A service with the files of its certificate and key."""

    service: RunningService
    certificate: Path
    key: Path

    def request(self, path: str) -> HTTPResponse:
        """The response to a GET; the certificate is not verified."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"{self.service.url}{path}", context=context) as response:
            return response


def start_with_tls(start: Callable[..., RunningService], folder: Path, **options: Any) -> TlsService:
    """Start a service that serves HTTPS with a self-signed certificate; `options` are those of `start`."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    write_pair(certificate, key, 1)
    service = start("--tls-cert-file", str(certificate), "--tls-key-file", str(key), **options)
    assert service.url.startswith("https://")
    return TlsService(service, certificate, key)
