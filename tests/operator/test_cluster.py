"""The client for the API server."""

from __future__ import annotations

import json
import socket

import pytest
from aiohttp import web
from kubernetes.aio import client
from kubernetes.aio.config import kube_config

from leaderboard_operator.cluster import ApiError, Cluster, Unreachable, configure

PROXY = "http://proxy.example:3128"


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """Writes a KUBECONFIG for kubernetes.example, without proxies in the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def make(**cluster: str) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": "https://kubernetes.example:6443", **cluster}}],
            "users": [{"name": "a", "user": {"token": "t"}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))  # read at import

    return make


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "kubernetes.example"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other.example"}, PROXY),
    ],
)
async def test_configure_with_proxy_in_environment_reads_it_once(kubeconfig, monkeypatch, environment, proxy):
    kubeconfig()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configuration = await configure()
    assert configuration.proxy == proxy
    assert configuration.client_session_kwargs == {"trust_env": False}


async def test_configure_with_proxy_in_kubeconfig_ignores_environment(kubeconfig, monkeypatch):
    kubeconfig(**{"proxy-url": "http://own.example:3128"})
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert (await configure()).proxy == "http://own.example:3128"


async def test_request_refused_with_429_raises_retry_after():
    async def busy(_: web.Request) -> web.Response:
        return web.json_response({"reason": "TooManyRequests"}, status=429, headers={"Retry-After": "7"})

    app = web.Application()
    app.router.add_get("/api", busy)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.SockSite(runner, socket.create_server(("127.0.0.1", 0)))
    await site.start()
    cluster = Cluster(client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        with pytest.raises(ApiError) as caught:
            await cluster.get("/api")
    finally:
        await cluster.close()
        await runner.cleanup()
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)


async def test_request_without_response_raises_unreachable_with_cause():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cluster = Cluster(client.Configuration(host=f"http://127.0.0.1:{silent.getsockname()[1]}"), request_seconds=0.2)
        try:
            with pytest.raises(Unreachable, match=r"^GET /api: TimeoutError$"):
                await cluster.get("/api")
        finally:
            await cluster.close()
