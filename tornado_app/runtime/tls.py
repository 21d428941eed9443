"""TLS: a server context that reloads a renewed certificate without a restart."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import NoReturn

from tornado_app.core.errors import StartupError
from tornado_app.runtime.file_watcher import FileWatcher

log = logging.getLogger("leaderboard.tls")

CHECK_INTERVAL = 2.0
"""Seconds between two checks of the files."""


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A server context with this pair of PEM files, for TLS 1.2 and later. Raises StartupError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    for path in (cert, key):
        # Opened first, because the error of OpenSSL does not name the file.
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise StartupError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    try:
        # With an empty password, OpenSSL does not prompt for one on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise StartupError(_explained(cert, key, error)) from None
    return context


def _explained(cert: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the private key in {key} is not that of the certificate in {cert}"
    if "ENCRYPTED" in key.read_text(encoding="ascii", errors="replace"):
        return f"the private key in {key} is encrypted; store it without a passphrase, readable only by the service"
    return f"{cert} and {key} are no certificate chain and private key in PEM ({error.reason or 'unreadable'})"


class ReloadingTls:
    """A server context that follows its certificate files, if `keep_fresh` runs or `refresh` is called regularly.

    `context` stays the same object. Each handshake uses the newest valid pair as a whole, so that a new certificate is
    never combined with an old key. Open connections keep theirs. Raises StartupError.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._watcher = FileWatcher(cert, key)
        self._newest = self.context = server_context(cert, key)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL in each handshake, whether or not the client names a server."""
        connection.context = self._newest

    async def keep_fresh(self) -> NoReturn:
        """Follow the files until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            self.refresh()

    def refresh(self) -> bool:
        """Reload changed files. Returns whether a new pair is in use; an invalid pair is logged and ignored."""
        if not self._watcher.changed():
            return False
        try:
            self._newest = server_context(self._cert, self._key)
        except StartupError as error:
            log.error("TLS certificate reload failed, keeping the previous certificate: %s", error)
            return False
        log.info("TLS certificate reloaded", extra={"certificate": str(self._cert)})
        return True
