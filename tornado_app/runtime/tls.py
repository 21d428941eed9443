"""TLS in the process: a server context that takes up a renewed certificate without a restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from tornado_app.core.errors import StartupError

log = logging.getLogger("leaderboard.tls")

_Seen = tuple[tuple[int, int, int], ...]


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for servers with this pair of PEM files, TLS 1.2 and later; raises StartupError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    for path in (cert, key):
        # Opened first, because OpenSSL's error does not say which of the two it could not read.
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise StartupError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    try:
        # A password, be it empty, keeps OpenSSL from asking for one on the terminal.
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
    """A server's TLS that follows its certificate files. Call `refresh` now and then; it costs two `stat` calls.

    `context` stays the same object for the server's life. Each handshake takes the newest good pair as a whole, so that
    none sees a new certificate with an old key. Open connections keep theirs. Raises StartupError.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._seen = self._look()
        self._newest = self.context = server_context(cert, key)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL in each handshake, whether or not the client names a server."""
        connection.context = self._newest

    def refresh(self) -> bool:
        """Take up files that changed; whether a new pair is in use. A bad one is logged, and the last good one kept."""
        seen = self._look()
        if seen == self._seen:
            return False
        # Noted before reading: a change in the middle is a change again at the next call.
        self._seen = seen
        try:
            self._newest = server_context(self._cert, self._key)
        except StartupError as error:
            log.error("TLS certificate reload failed, keeping the previous certificate: %s", error)
            return False
        log.info("TLS certificate reloaded", extra={"certificate": str(self._cert)})
        return True

    def _look(self) -> _Seen:
        """What tells one version of the files from another: inode, size and time, past links; empty when gone."""
        try:
            stats = [path.stat() for path in (self._cert, self._key)]
        except OSError:
            return ()
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
