"""`leaderboard demo`: the service with simulated players. Not for production: it issues tokens to anybody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TextIO
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from tornado_app.config import Config
from tornado_app.core.boards import Rule
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.demo import guide, identities
from tornado_app.demo.bots import Bots
from tornado_app.demo.games import POINTS, TIME_TRIAL
from tornado_app.demo.identities import SESSION_TTL, Mint, Sessions, minter
from tornado_app.observability import logs
from tornado_app.runtime import event_loop
from tornado_app.runtime.lifecycle import serve_until_stopped
from tornado_app.service.service import Service, announce

log = logging.getLogger("leaderboard.demo")


def run(config: Config, players: int, *, out: TextIO | None = None) -> int:
    """Serve with `players` simulated players until SIGTERM or Ctrl-C; the exit code. Without a file of boards there are
    two: points, also in rounds of five minutes, and a time trial.

    Tokens must be signed with a secret (HS256), as for `leaderboard token`. Raises ConfigError for settings with which
    simulated players could not score, and StartupError.
    """
    if config.captcha_url is not None:
        raise ConfigError(["captcha_url: the demo's players solve no captchas; unset it"])
    if config.processes not in (1, "auto"):
        raise ConfigError(["processes: the demo is one process; leave it out"])
    if config.boards[0].rule is not Rule.SUM:
        raise ConfigError(["boards_file: the demo's players add points on main, so its rule must be sum"])
    if config.boards_file is None:
        config = replace(config, boards=(POINTS, TIME_TRIAL))
    if "log_level" not in config.sources:
        # An audit line for each simulated move would push the banner off the screen.
        config = replace(config, log_level="warning")
    logs.configure(config.log_level, config.log_format, color=config.color, access=config.access_log)
    stream = out or sys.stdout
    code = event_loop.run(Demo(config, players, stream).run())
    stream.write("stopped\n")  # the log, whose level is warning, does not have it
    return code


class Demo:
    """A service, its bots, and what is printed about them."""

    def __init__(self, config: Config, players: int, out: TextIO) -> None:
        self._config = config
        self._personas = [identities.simulated(number) for number in range(players)]
        self._out = out

    async def run(self) -> int:
        """Run until a signal; the exit code."""
        mint = minter(self._config)

        @contextlib.asynccontextmanager
        async def ready(service: Service) -> AsyncIterator[None]:
            url = guide.reachable(service.url)
            await self._announce(service, url, mint)
            async with self._playing(url, mint):
                yield

        sessions = Sessions(mint, self._config.action_points).route()
        return await serve_until_stopped(Service(self._config, demo=True, extra_routes=[sessions]), ready)

    async def _announce(self, service: Service, url: str, mint: Mint) -> None:
        """Print the banner, once the player of its curl lines exists."""
        token = mint(identities.CURL, SESSION_TTL)
        await _register(url, identities.CURL.user_id, token)
        announce(service.url, service.metrics_url, self._out)
        bold = self._out.isatty() and self._config.color
        self._out.write(guide.render(self._config, url, token, len(self._personas), bold=bold))
        self._out.flush()

    @contextlib.asynccontextmanager
    async def _playing(self, url: str, mint: Mint) -> AsyncIterator[None]:
        config = self._config
        bots = Bots(
            url,
            self._personas,
            mint=mint,
            boards=config.boards,
            actions=config.action_points,
            max_points=config.max_increment,
            limit=config.rate_limit,
        )
        task = asyncio.create_task(bots.run())
        task.add_done_callback(_on_bots_exit)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def _on_bots_exit(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("simulated players stopped; the service continues", exc_info=task.exception())


async def _register(url: str, user_id: str, token: str) -> None:
    """Create the player of the curl lines, because two frontends refuse unknown players."""
    client = AsyncHTTPClient(force_instance=True, defaults={"validate_cert": False})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    name = identities.CURL.name
    try:
        await client.fetch(
            f"{url}/api/v1/players/{quote(user_id, safe='')}",
            method="PUT",
            headers=headers,
            body=f'{{"username": "{name}"}}',
        )
    except (OSError, HTTPClientError) as error:
        raise StartupError(f"the demo cannot reach its own service at {url}: {error}") from None
    finally:
        client.close()
