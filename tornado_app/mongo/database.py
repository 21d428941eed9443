"""The database that the settings name: an embedded mongod, or any MongoDB by URI; checked before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tornado_app.mongo import preflight, schema
from tornado_app.mongo.driver import Client, DriverName, settled
from tornado_app.mongo.embedded import EmbeddedMongod


@asynccontextmanager
async def open_database(
    uri: str | None,
    name: str,
    *,
    data_dir: Path,
    driver: DriverName = "pymongo",
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
    on_failure: Callable[[Exception], None],
) -> AsyncIterator[Client]:
    """A client whose database is fit for the service: a replica set of MongoDB 6 or newer, with the board's index.

    `uri` None starts a mongod in `data_dir`, which ends with the context; `on_failure` is told when it is lost for
    good. Raises StartupError.
    """
    mongod = None if uri is not None else EmbeddedMongod(data_dir)
    try:
        if mongod is not None:
            uri = await mongod.start()
            mongod.failed.add_done_callback(lambda failed: _tell(failed, on_failure))
        assert uri is not None  # noqa: S101  # one or the other
        client = preflight.open_client(uri, driver, timeout)
        try:
            await preflight.check(client, name)
            await schema.ensure(client, name)
            yield client
        finally:
            await settled(client.close())
    finally:
        if mongod is not None:
            await mongod.stop()


def _tell(failed: asyncio.Future[None], on_failure: Callable[[Exception], None]) -> None:
    if not failed.cancelled() and (error := failed.exception()) is not None and isinstance(error, Exception):
        on_failure(error)
