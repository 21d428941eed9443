"""TLS with real certificates and real handshakes: a renewed certificate is served without a restart."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from tests.support.certificates import make_pair, write_pair
from tornado_app.core.errors import StartupError
from tornado_app.runtime.tls import ReloadingTls, server_context


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    write_pair(cert, key, 1)
    return cert, key


@pytest.fixture(params=["asyncio", "tornado"])
async def port(request, pair) -> AsyncIterator[tuple[int, ReloadingTls]]:
    """A server over TLS in each of the two ways that Python has: memory buffers, and a wrapped socket."""
    tls = ReloadingTls(*pair)
    if request.param == "asyncio":
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls.context)
        async with server:
            yield server.sockets[0].getsockname()[1], tls
    else:
        listener, number = bind_unused_port()
        http = HTTPServer(Application(), ssl_options=tls.context)
        http.add_sockets([listener])
        yield number, tls
        http.stop()
        await http.close_all_connections()


async def serial(port: int, *, name: str | None = "localhost", **limits: ssl.TLSVersion) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for limit, version in limits.items():
        setattr(context, limit, version)

    def shake_hands() -> int:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
            assert shown is not None
            return x509.load_der_x509_certificate(shown).serial_number

    return await asyncio.to_thread(shake_hands)


async def test_new_certificate_is_used_after_the_files_change(port, pair):
    number, tls = port
    assert await serial(number) == 1
    assert not tls.refresh()
    write_pair(*pair, 2)
    assert await serial(number) == 1
    assert tls.refresh()
    assert await serial(number) == 2
    assert not tls.refresh()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", None])
async def test_new_certificate_is_used_with_and_without_sni_in_both_tls_versions(port, pair, version, name):
    number, tls = port
    write_pair(*pair, 2)
    tls.refresh()
    assert await serial(number, name=name, minimum_version=version, maximum_version=version) == 2


async def test_invalid_pair_is_logged_once_and_the_previous_one_is_kept(port, pair, caplog):
    number, tls = port
    cert, key = pair
    cert.write_bytes(make_pair(2)[0])
    with caplog.at_level(logging.ERROR, "leaderboard.tls"):
        assert not tls.refresh()
        assert not tls.refresh()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"the private key in {key} is not that of the certificate in {cert}" in caplog.text
    assert await serial(number) == 1
    write_pair(cert, key, 3)
    assert tls.refresh()
    assert await serial(number) == 3


async def test_missing_files_keep_the_previous_pair_until_they_return(port, pair):
    number, tls = port
    pair[1].unlink()
    assert not tls.refresh()
    assert await serial(number) == 1
    write_pair(*pair, 2)
    assert tls.refresh()
    assert await serial(number) == 2


async def test_mounted_secret_that_changes_by_symlink_is_read(tmp_path: Path):
    """Kubernetes swaps the link `..data` to a new folder; the files' own paths and links stay."""
    for folder, number in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        write_pair(tmp_path / folder / "tls.crt", tmp_path / folder / "tls.key", number)
    link = tmp_path / "..data"
    link.symlink_to("one")
    tls = ReloadingTls(link / "tls.crt", link / "tls.key")
    fresh = tmp_path / "..data_tmp"
    fresh.symlink_to("two")
    fresh.replace(link)
    assert tls.refresh()


async def test_another_file_of_the_same_size_and_time_is_read(pair, tmp_path: Path):
    tls = ReloadingTls(*pair)
    before = [path.stat() for path in pair]
    for path, pem, old in zip(pair, make_pair(2), before, strict=True):
        new = tmp_path / "new"
        new.write_bytes(pem)
        os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
        new.replace(path)
    assert tls.refresh()


async def test_old_tls_versions_are_refused(port):
    number, _ = port
    with pytest.raises((ssl.SSLError, ConnectionError)), pytest.warns(DeprecationWarning, match="TLSv1"):
        await serial(number, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cert, key: cert.unlink(), "tls.crt cannot be read: No such file or directory"),
        (lambda cert, key: key.unlink(), "tls.key cannot be read: No such file or directory"),
        (lambda cert, key: key.write_bytes(make_pair(9)[1]), "is not that of the certificate"),
        (lambda cert, key: key.write_bytes(make_pair(9, passphrase=b"x")[1]), "is encrypted; store it without"),
        (lambda cert, key: cert.write_text("nonsense"), "no certificate chain and private key in PEM"),
        (lambda cert, key: key.write_bytes(b""), "no certificate chain and private key in PEM"),
        (lambda cert, key: (cert.unlink(), cert.mkdir()), "tls.crt cannot be read: Is a directory"),
    ],
)
def test_invalid_files_at_start_are_a_startup_error(pair, change, message):
    change(*pair)
    with pytest.raises(StartupError, match=message):
        server_context(*pair)
    with pytest.raises(StartupError):
        ReloadingTls(*pair)
