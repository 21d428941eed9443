"""The WebSocket protocol of one connection: Tornado's, with less memory.

It relies on one internal of Tornado, `WebSocketProtocol13._receive_frame_loop`; tests/api/test_low_memory_protocol.py
checks it against the pinned version.
"""

from __future__ import annotations

import asyncio
import logging

from tornado.websocket import WebSocketProtocol, WebSocketProtocol13

log = logging.getLogger("leaderboard.sockets")

TOO_BIG = 1009
"""The close code for a message that is too large. Source: RFC 6455, section 7.4.1."""


def low_memory_protocol(protocol: WebSocketProtocol | None) -> WebSocketProtocol | None:
    """The protocol as a LowMemoryProtocol; one of another class than the expected one is returned as it is."""
    if type(protocol) is not WebSocketProtocol13:
        return protocol
    return LowMemoryProtocol(protocol.handler, protocol.mask_outgoing, protocol.params)


class LowMemoryProtocol(WebSocketProtocol13):
    """Tornado's protocol, without the memory of the handshake while it waits for frames.

    Tornado reads frames at the end of the coroutines that answered the handshake, so these and all that they refer to
    stay in memory as long as the connection. Here these coroutines end, and a task reads the frames. If a later Tornado
    does not call `_receive_frame_loop`, this class behaves as its base class.
    """

    async def _receive_frame_loop(self) -> None:
        task = asyncio.create_task(self._read())
        _reading.add(task)  # one attribute more would make the instance's dict five times as large
        task.add_done_callback(_reading.discard)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """As the base class; the close reason of a message that is too large names the limit."""
        if code == TOO_BIG:
            reason = f"a message may have {self.params.max_message_size} bytes"
        super().close(code, reason)

    async def _read(self) -> None:
        try:
            await super()._receive_frame_loop()
        except ValueError:  # such as a close frame whose reason is no UTF-8
            log.debug("a client's frame was malformed", exc_info=True)
        finally:
            self._abort()


_reading: set[asyncio.Task[None]] = set()
