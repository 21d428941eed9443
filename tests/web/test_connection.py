"""`leaderboard.js`: what it does when the connection is lost, refused or silent."""

from __future__ import annotations

import pytest

from tests.support.browser import Faults
from tests.support.fake_service import FakeService, Player, places
from tests.web.client import LATEST, REFUSED
from tests.web.conftest import Connect

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_shutdown_of_the_server_causes_a_reconnect(
    connect: Connect, fake_service: FakeService, faults: Faults
) -> None:
    faults.expect(REFUSED)
    fake_service.rows = places([Player("Ada", 30)])
    client = await connect()
    await client.shows("1 Ada 30")
    await fake_service.stop()
    lost = await client.state("disconnected")
    assert lost["code"] in (1001, 1006)
    fake_service.rows = places([Player("Bob", 40)])
    await fake_service.start()
    await client.state("live")
    await client.shows("1 Bob 40")
    losses = "log.states.filter(({ name }) => name === 'disconnected')"
    assert await client.page.evaluate(f"new Set({losses}.map(({{ since }}) => +since)).size") == 1


async def test_reconnect_delays_grow_with_jitter(connect: Connect, fake_service: FakeService, faults: Faults) -> None:
    faults.expect(REFUSED)
    client = await connect(random=LATEST, clock=True)
    await client.state("live")
    await fake_service.stop()
    waits = []
    for attempt in range(7):
        await client.sees(f"log.states.length === {attempt + 3}")
        waits.append((await client.state("disconnected"))["wait"])
        await client.page.clock.run_for(waits[-1] + 100)
    assert [round(wait / 1000) for wait in waits] == [1, 2, 4, 8, 16, 30, 30]


async def test_silent_server_is_disconnected(connect: Connect, fake_service: FakeService) -> None:
    fake_service.mute = True
    client = await connect(clock=True)
    await fake_service.until(lambda: fake_service.connections == 1)
    await client.page.clock.run_for(14_000)
    assert await client.states() == ["connecting"]
    fake_service.mute = False
    await client.page.clock.run_for(2_000)
    await client.state("live")


async def test_silence_is_checked_with_a_second_connection_and_backs_off(
    connect: Connect, fake_service: FakeService
) -> None:
    client = await connect(clock=True)
    await client.state("live")
    await client.page.clock.run_for(70_000)
    await fake_service.until(lambda: fake_service.connections == 2 and len(fake_service.sockets) == 1)
    await client.page.clock.run_for(100_000)
    assert fake_service.connections == 2
    await client.page.clock.run_for(30_000)
    await fake_service.until(lambda: fake_service.connections == 3)
    assert await client.states() == ["connecting", "live"]


async def test_wake_from_sleep_replaces_the_socket(connect: Connect, fake_service: FakeService) -> None:
    client = await connect(clock=True, random=LATEST)
    await client.state("live")
    await client.page.clock.fast_forward(100_000)
    await fake_service.until(lambda: fake_service.connections == 2 and len(fake_service.sockets) == 1)
    assert await client.states() == ["connecting", "live"]


async def test_network_events_close_and_reopen_the_connection(
    connect: Connect, fake_service: FakeService, faults: Faults
) -> None:
    faults.expect(REFUSED)
    client = await connect()
    await client.state("live")
    await client.page.context.set_offline(True)
    await client.state("disconnected")
    await client.page.context.set_offline(False)
    await client.state("live")


async def test_visible_page_reconnects_at_once(connect: Connect, fake_service: FakeService) -> None:
    client = await connect(random=LATEST, clock=True)
    await client.state("live")
    await client.page.clock.pause_at(await client.page.evaluate("Date.now() / 1000 + 1"))
    fake_service.close(1001, "going away")
    await client.state("disconnected")
    await client.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await client.state("live")


async def test_closed_client_stays_closed(connect: Connect, fake_service: FakeService) -> None:
    client = await connect(clock=True)
    await client.state("live")
    await client.page.evaluate("connection.close()")
    await fake_service.until(lambda: not fake_service.sockets)
    await client.page.evaluate("connection.retry()")
    await client.page.clock.run_for(300_000)
    assert fake_service.connections == 1
    assert await client.states() == ["connecting", "live"]


async def test_page_hide_closes_the_socket_and_page_show_reopens_it(
    connect: Connect, fake_service: FakeService
) -> None:
    client = await connect()
    await client.state("live")
    await client.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    await fake_service.until(lambda: not fake_service.sockets)
    await client.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await fake_service.until(lambda: len(fake_service.sockets) == 1)
