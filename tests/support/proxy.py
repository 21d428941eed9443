"""A TCP proxy on loopback whose network a test can break: cut, frozen, one-way, dead connections, slow, narrow."""

from __future__ import annotations

import asyncio
import contextlib

from tests.support.background import BackgroundLoop

HOST = "127.0.0.1"
CHUNK = 16_384


class _Connection:
    """One client and its connection to the upstream; no byte of a `forsaken` one arrives any more."""

    def __init__(self, client: asyncio.StreamWriter, upstream: asyncio.StreamWriter) -> None:
        self.ends = (client, upstream)
        self.forsaken = False

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Passes each connection to its port on to `upstream`; a context manager. Faults last until `heal`."""

    def __init__(self, loop: BackgroundLoop, upstream: int) -> None:
        self._loop = loop
        self._upstream = upstream
        self._connections: set[_Connection] = set()
        self._refuses = False
        self._delay = 0.0
        self._rate: float | None = None
        self.port = 0

    def __enter__(self) -> Proxy:
        self._loop.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._stop())

    # -- the faults -------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset all connections, and refuse new ones."""

        def work() -> None:
            self._refuses = True
            self._abort_all()

        self._loop.call(work)

    def freeze(self, *, answers_only: bool = False) -> None:
        """Hold back all bytes of old and new connections; or only the answers, while requests pass."""

        def work() -> None:
            self._down.clear()
            if not answers_only:
                self._up.clear()

        self._loop.call(work)

    def forsake(self) -> None:
        """Drop all further bytes of the present connections, which stay open; new ones work."""

        def work() -> None:
            for connection in self._connections:
                connection.forsaken = True

        self._loop.call(work)

    def slow(self, *, delay: float = 0.0, rate: float | None = None) -> None:
        """`delay` seconds for each way, `rate` bytes a second for each connection and way."""
        self._delay, self._rate = delay, rate

    def heal(self) -> None:
        """End all faults. Bytes that `freeze` held back arrive now, as with TCP."""

        def work() -> None:
            self._refuses, self._delay, self._rate = False, 0.0, None
            self._up.set()
            self._down.set()

        self._loop.call(work)

    # -- passing bytes on -------------------------------------------------------------------------

    async def _start(self) -> None:
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._up.set()
        self._down.set()
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        self._abort_all()

    def _abort_all(self) -> None:
        for connection in self._connections:
            connection.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                raise ConnectionRefusedError
            answers, upstream = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, upstream)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pass(connection, reader, upstream, self._up),
                self._pass(connection, answers, writer, self._down),
            )
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _pass(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        """Until one end is gone, then the other one goes too."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK if self._rate is None else 1024):
                await asyncio.sleep(self._delay)
                await flows.wait()
                if connection.forsaken:
                    continue
                if self._rate is not None:
                    await asyncio.sleep(len(data) / self._rate)
                sink.write(data)
                await sink.drain()
        connection.abort()
