"""`::` is every interface, of IPv6 and of IPv4; of IPv4 alone where the machine has no IPv6."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession

from leaderboard_operator.metrics import Metrics
from leaderboard_operator.probes import serving
from tornado_app.config import Config
from tornado_app.service import listeners

ADDRESSES = ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6"))]


@pytest.fixture
def no_ipv6(monkeypatch):
    """As on a kernel without IPv6: its sockets cannot be made."""
    real = socket.socket

    class Socket(real):
        def __init__(self, family=-1, *rest, **more):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", Socket)


@pytest.fixture
def listening() -> Iterator[int]:
    # `bind` and `reserve_port` need settings and a server; the families of the sockets are decided here.
    sockets = listeners._bind(0, "::", "port")
    yield listeners._port(sockets)
    for each in sockets:
        each.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_service_is_reachable_by_both_families_on_one_port(listening, address):
    socket.create_connection((address, listening), timeout=5).close()


def test_processes_share_a_port_in_both_families():
    with listeners.reserve_port(Config(host="::", port=0)) as port:
        for _ in range(2):
            sockets = listeners._bind(port, "::", "port", shared=True)
            assert {each.family for each in sockets} >= {socket.AF_INET}
            for each in sockets:
                each.close()


def test_service_without_ipv6_serves_ipv4(no_ipv6, monkeypatch):
    monkeypatch.setattr(socket, "has_ipv6", False)
    sockets = listeners._bind(0, "::", "port")
    assert [each.family for each in sockets] == [socket.AF_INET]
    sockets[0].close()


async def answer(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    async with ClientSession() as session, session.get(f"http://{host}:{port}/healthz") as found:
        return await found.text()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_operator_is_reachable_by_both_families(address):
    async with serving("::", (0, 0), Metrics(), lambda: None, list) as found:
        assert len(found) == 2
        assert [await answer(address, port) for port in found] == ["ok", "ok"]


async def test_operator_without_ipv6_serves_ipv4(no_ipv6):
    async with serving("::", (0,), Metrics(), lambda: None, list) as (port,):
        assert await answer("127.0.0.1", port) == "ok"
