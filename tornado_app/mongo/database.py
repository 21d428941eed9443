"""Opens the database that the settings name, embedded or by URI, and checks it before use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tornado_app.core.boards import MAIN, Board
from tornado_app.core.model import Owner
from tornado_app.mongo import definitions, ownership
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import Client, DriverName, Observe, maybe_await
from tornado_app.mongo.embedded.supervisor import EmbeddedMongod
from tornado_app.mongo.ledger import reconciliation
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.documents import collection_of


@asynccontextmanager
async def open_database(
    uri: str | None,
    name: str,
    *,
    data_dir: Path,
    driver: DriverName = "pymongo",
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
    on_failure: Callable[[Exception], None],
    observe: Observe | None = None,
    boards: Sequence[Board] = (MAIN,),
    owner: Owner | None = None,
    previous_owner: str | None = None,
    embedded: bool = False,
) -> AsyncIterator[Client]:
    """A client whose database suits the service: a replica set of MongoDB 6 or newer, with the boards' indexes.

    `uri` None starts a mongod in `data_dir`, which ends with the context; `on_failure` is called when it is given up;
    `observe` is called for each command. With an `owner` the database is claimed before anything else is written, see
    `ownership.claim`. `boards`: those that are served, see `prepare_board`. `embedded`: `uri` is that of the service's
    own mongod. Raises StartupError.
    """
    async with AsyncExitStack() as stack:
        if uri is None:
            uri = await stack.enter_async_context(embedded_database(data_dir, on_failure=on_failure))
            embedded = True
        client = await stack.enter_async_context(connection(uri, driver=driver, timeout=timeout, observe=observe))
        await preflight.check(client, name, embedded=embedded)
        if owner is not None:
            await ownership.claim(client, name, owner, previous=previous_owner)
        for board in boards:
            await prepare_board(client, name, board)
        await reconciliation.begin_without_players(client, name)
        yield client


async def prepare_board(client: Client, database: str, board: Board) -> None:
    """Record the rule and the order of a board, and create its indexes, before it is served.

    Raises StartupError, also if its data has another rule or order (`definitions.record`).
    """
    await definitions.record(client, database, board)
    periods = [period.name for period in board.periods]
    await indexes.ensure(client, database, collection_of(board.name), order=board.order, periods=periods)


@asynccontextmanager
async def connection(
    uri: str,
    *,
    driver: DriverName = "pymongo",
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
    observe: Observe | None = None,
) -> AsyncIterator[Client]:
    """A client whose database is not checked. Raises StartupError for a URI that cannot be used."""
    client = preflight.open_client(uri, driver, timeout, observe)
    try:
        yield client
    finally:
        await maybe_await(client.close())


@asynccontextmanager
async def embedded_database(data_dir: Path, *, on_failure: Callable[[Exception], None]) -> AsyncIterator[str]:
    """The URI of a mongod in `data_dir`, which ends with the context; `on_failure` is called when it is given up.

    Raises StartupError.
    """
    mongod = EmbeddedMongod(data_dir)
    try:
        uri = await mongod.start()
        mongod.failed.add_done_callback(lambda failed: _tell(failed, on_failure))
        yield uri
    finally:
        await mongod.stop()


def _tell(failed: asyncio.Future[None], on_failure: Callable[[Exception], None]) -> None:
    if not failed.cancelled() and (error := failed.exception()) is not None and isinstance(error, Exception):
        on_failure(error)
