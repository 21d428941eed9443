"""The start waits for a slow board while the database answers, and fails if it does not."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.support.service import KEY
from tests.support.wait import eventually
from tornado_app.config import Config
from tornado_app.core.errors import StartupError
from tornado_app.service.service import Service


@pytest.fixture
def service():
    """A service whose board is read when the test sets `read`; the test decides whether the database answers."""
    service = Service(Config(port=0, metrics_port=0, jwt_key=KEY), start_timeout=0.02)
    service.read = asyncio.Event()
    service.components = SimpleNamespace(
        boards=SimpleNamespace(wait_ready=service.read.wait),
        feed=SimpleNamespace(wait_open=service.read.wait),
        health=SimpleNamespace(reasons=lambda: ["the ranks are being read"], database_answers=True),
    )
    return service


async def test_slow_snapshot_is_awaited_at_start(service, caplog):
    # The wait alone, without database and ports.
    waiting = asyncio.ensure_future(service._primed(service.components, None))
    line = "board is still loading, not serving yet: the ranks are being read"
    await eventually(lambda: caplog.text.count(line) > 2)
    assert not waiting.done()
    service.read.set()
    await waiting


async def test_unreachable_database_fails_the_start(service):
    service.components.health.database_answers = False
    with pytest.raises(StartupError, match=r"could not be read within 0\.02 seconds: the ranks are being read"):
        await service._primed(service.components, None)


async def test_component_failure_fails_the_start_that_waits_for_the_plan_of_periods(service):
    service.components.periods = SimpleNamespace(wait_planned=lambda board: asyncio.Event().wait())
    waiting = asyncio.ensure_future(service._planned(service.components))
    await asyncio.sleep(0)
    assert not waiting.done()
    service.fail(StartupError("the periods ended"))
    with pytest.raises(StartupError, match="the periods ended"):
        await waiting


async def test_component_failure_fails_the_start(service, caplog):
    waiting = asyncio.ensure_future(service._primed(service.components, None))
    await eventually(lambda: "still loading" in caplog.text)
    service.fail(StartupError("the feed ended"))
    with pytest.raises(StartupError, match="the feed ended"):
        await waiting
