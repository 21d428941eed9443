"""The components of a service can be built without its life cycle, and without a database that answers."""

import asyncio
from itertools import product
from unittest.mock import Mock

import pytest

from tests.support.service import KEY
from tornado_app.config import Config
from tornado_app.core.boards import MAIN, Board
from tornado_app.core.errors import StartupError
from tornado_app.http.messages import NotFound, Response, Route
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.observability.metrics import Metrics
from tornado_app.service.wiring import build


@pytest.fixture
async def client():
    client = connect("mongodb://127.0.0.1:1", timeout=0.1)
    yield client
    await maybe_await(client.close())


async def test_build_starts_no_tasks(client):
    before = asyncio.all_tasks()
    components = build(Config(jwt_key=KEY), client, metrics=Metrics())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert "the ranks are being read" in components.health.reasons()


async def test_build_needs_no_provider_or_captcha(client):
    components = build(Config(jwt_key=KEY), client, metrics=Metrics())
    assert (components.remote_keys, components.captcha) == (None, None)


async def test_build_with_captcha_and_provider_has_both(client):
    config = Config(
        jwt_jwks_url="https://provider.example/jwks", captcha_url="https://captcha.example", captcha_secret="s"
    )
    components = build(config, client, metrics=Metrics())
    assert components.remote_keys is not None
    assert components.captcha is not None
    components.captcha.close()


@pytest.mark.parametrize("path", ["/", "/api/score", "/api/top-scores", "/docs", "/ws/score", "/api/v1/boards", "/own"])
async def test_build_routes_each_frontend_the_pages_and_the_extra_routes(client, path):
    own = Route("/own", {"GET": lambda request: Response(200)})
    components = build(Config(jwt_key=KEY), client, metrics=Metrics(), extra_routes=[own])
    assert components.dispatcher.router.find(path)[0].path == path
    with pytest.raises(NotFound):
        components.dispatcher.router.find("/metrics")


async def test_build_with_one_key_for_tokens_and_proofs_raises_startup_error(client):
    config = Config(jwt_key=KEY, proof_key=KEY, mongodb_uri="mongodb://127.0.0.1:1")
    with pytest.raises(StartupError, match="also verifies tokens"):
        build(config, client, metrics=Metrics())


async def test_build_shares_nothing_of_a_board_with_another_board(client):
    config = Config(jwt_key=KEY, boards=(MAIN, Board("kart")))
    components = build(config, client, metrics=Metrics(), events=Mock())
    main, kart = components.boards["main"], components.boards["kart"]
    for served in (main, kart):
        assert served.scoreboard.board is served.live
        assert components.views[served.live.view] is served.live
    assert main.live is not kart.live
    assert main.store is not kart.store
    main_endpoints, kart_endpoints = (
        {id(endpoint) for route in served.routes if "/ws/" not in route.path for endpoint in route.methods.values()}
        for served in (main, kart)
    )
    assert not main_endpoints & kart_endpoints


async def test_build_serves_the_paths_of_each_board_behind_its_prefix(client):
    config = Config(jwt_key=KEY, boards=(MAIN, Board("kart")))
    router = build(config, client, metrics=Metrics(), events=Mock()).dispatcher.router
    for name, path in product(("main", "kart"), ("/api/score", "/ws/score", "/api/v1/players/alice/history")):
        route, params = router.find(f"/boards/{name}{path}")
        assert route.path == router.find(path)[0].path
        assert (route is router.find(path)[0]) is (name == "main")
        assert params == router.find(path)[1]
    for path in ("/", "/docs", "/openapi.json", "/api/v1/boards", "/healthz"):
        with pytest.raises(NotFound):
            router.find(f"/boards/kart{path}")
