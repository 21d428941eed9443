"""Frames bypass Tornado's write buffer while it is empty, and arrive whole and in order."""

import asyncio
import socket
import ssl

import pytest
import tornado
from tornado.iostream import IOStream, SSLIOStream

from tests.support.certificates import write_pair
from tests.support.wait import eventually
from tornado_app.http.stream import DirectWriter
from tornado_app.live.hub import text_frame

PATIENCE = 10.0
SMALL_BUFFER = 4096


def frame(number, size=3000):
    return text_frame(f"{number:06d}".encode().ljust(size, b"x"))


@pytest.fixture
async def ends():
    """The service's stream of a connection whose buffers are small, and the client's end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    client.settimeout(0)
    stream = IOStream(accepted)
    with client:
        yield stream, client
        stream.close()


@pytest.fixture
def written(ends, monkeypatch):
    """The bytes that the stream wrote."""
    stream, _ = ends
    found = []
    write = stream.write
    monkeypatch.setattr(stream, "write", lambda data: found.append(bytes(data)) or write(data))
    return found


async def read(client, size):
    loop = asyncio.get_running_loop()
    found = bytearray()
    async with asyncio.timeout(PATIENCE):
        while len(found) < size:
            found += await loop.sock_recv(client, size - len(found))
    return bytes(found)


def fill(wire):
    """Send until the kernel takes no more: the frames, and what ends when the last has gone out."""
    for number in range(10_000):
        sending = wire.send(frame(number))
        if sending is not None:
            return [frame(n) for n in range(number + 1)], sending
    raise AssertionError("the kernel has no bound")


async def test_frame_accepted_by_the_kernel_bypasses_the_stream(ends, written):
    stream, client = ends
    assert DirectWriter(stream).send(frame(1, 100)) is None
    assert await read(client, len(frame(1, 100))) == frame(1, 100)
    assert written == []


async def test_partly_accepted_frame_arrives_complete(ends, written):
    stream, client = ends
    frames, sending = fill(DirectWriter(stream))
    assert frames[-1].endswith(written[-1])
    sent = b"".join(frames)
    assert await read(client, len(sent)) == sent
    async with asyncio.timeout(PATIENCE):
        await sending
    assert not stream.writing()


async def test_partly_accepted_frame_leaves_only_its_rest_in_the_stream(ends, written):
    stream, _ = ends
    large = frame(1, 10 * 1024 * 1024)
    assert DirectWriter(stream).send(large) is not None
    assert 0 < len(written[0]) < len(large)
    assert large.endswith(written[0])


async def test_frames_keep_their_order_on_both_paths(ends, written):
    stream, client = ends
    wire = DirectWriter(stream)
    frames, _ = fill(wire)
    stream.write(b"\x89\0")  # a ping of Tornado's own, which has to wait
    frames += [b"\x89\0", frame(1, 50), frame(2, 5000)]
    assert wire.send(frames[-2]) is not None
    last = wire.send(frames[-1])
    sent = b"".join(frames)
    assert await read(client, len(sent)) == sent
    async with asyncio.timeout(PATIENCE):
        await last
    through = len(written)
    assert wire.send(frame(3, 100)) is None
    assert await read(client, len(frame(3, 100))) == frame(3, 100)
    assert len(written) == through, "the way past the stream is free again"


async def test_frame_is_sent_after_pending_bytes_of_the_stream(ends):
    """Also if the kernel has room again and the loop has not noticed yet."""
    stream, client = ends
    wire = DirectWriter(stream)
    frames, _ = fill(wire)
    sent = b"".join(frames)
    found = bytearray()
    while len(found) < len(sent) // 2:  # the loop does not turn
        try:
            found += client.recv(65536)
        except BlockingIOError:
            break
    late = frame(7, 20)
    wire.send(late)
    found += await read(client, len(sent) + len(late) - len(found))
    assert bytes(found) == sent + late


async def test_disconnected_client_closes_the_stream_without_an_error(ends):
    stream, client = ends
    wire = DirectWriter(stream)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    await eventually(lambda: wire.send(frame(1)) is None and stream.closed(), PATIENCE)
    assert wire.send(frame(2)) is None


async def test_closed_stream_accepts_no_frame(ends):
    stream, _ = ends
    early = DirectWriter(stream)
    _, sending = fill(early)
    stream.close()
    assert isinstance(sending.exception(), tornado.iostream.StreamClosedError)
    assert early.send(frame(1)) is None
    assert DirectWriter(stream).send(frame(1)) is None


async def test_tls_frames_use_the_stream(tmp_path, monkeypatch):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_pair(certificate, key, 1)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = asyncio.open_connection(*listener.getsockname(), ssl=client_side, server_hostname="localhost")
        client = asyncio.ensure_future(connecting)
        accepted, _ = await asyncio.to_thread(listener.accept)
    wrapped = server_side.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    stream = SSLIOStream(wrapped)
    async with asyncio.timeout(PATIENCE):
        await stream.wait_for_handshake()
        reader, writer = await client
    written = []
    write = stream.write
    monkeypatch.setattr(stream, "write", lambda data: written.append(data) or write(data))
    wire = DirectWriter(stream)
    frames = [frame(number) for number in range(3)]
    for each in frames:
        wire.send(each)
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(len(b"".join(frames))) == b"".join(frames)
    assert written == frames
    stream.close()
    writer.close()
