"""Opens the ledger that the settings name, for an audit: of a running service, or of a stopped embedded database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pymongo.errors import PyMongoError

from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import preflight
from tornado_app.mongo.client.driver import Client, DriverName, maybe_await
from tornado_app.mongo.embedded.data_dir import DataDirectory, DirectoryInUse
from tornado_app.mongo.embedded.supervisor import EmbeddedMongod
from tornado_app.mongo.ledger.audit_scan import PAGE, LedgerScan
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.runtime.tasks import cancel_and_wait


@asynccontextmanager
async def open_ledger(
    uri: str | None,
    name: str,
    *,
    data_dir: Path,
    driver: DriverName = "pymongo",
    page: int = PAGE,
    timeout: float = 5.0,  # noqa: ASYNC109  # the driver's own bound
) -> AsyncIterator[LedgerScan]:
    """Database `name` as an audit reads it; `uri` None is the embedded one in `data_dir`, running or not.

    If no service runs on `data_dir`, this records the events that the last service had not recorded. Raises
    StartupError, also for errors of the enclosed block.
    """
    async with contextlib.AsyncExitStack() as stack:
        alone, embedded = False, uri is None
        if uri is None:
            uri, alone = await _embedded(data_dir, stack)
        client = preflight.open_client(uri, driver, timeout)
        stack.push_async_callback(_close, client)
        try:
            await preflight.check(client, name, embedded=embedded)
            if alone:
                await stack.enter_async_context(_writing(client, name))
            scan = LedgerScan(client[name], page=page)
            if not await scan.exists():
                raise StartupError(
                    f"database {name!r} has no ledger yet: it begins with the first start of the service"
                )
            yield scan
        except PyMongoError as error:
            raise StartupError(preflight.explain(error, name)) from error


async def _embedded(data_dir: Path, stack: contextlib.AsyncExitStack) -> tuple[str, bool]:
    """The URI of the database in the folder, and whether it was started here."""
    folder = DataDirectory(data_dir)
    if not folder.database.is_dir():
        raise StartupError(
            f"there is no database in {data_dir}: name its folder with --data-dir, or --mongodb-uri-file"
        )
    mongod = EmbeddedMongod(data_dir)
    try:
        uri = await mongod.start()
    except DirectoryInUse as used:
        try:
            return folder.uri_file.read_text(encoding="ascii"), False
        except OSError:
            raise used from None
    stack.push_async_callback(mongod.stop)
    return uri, True


@asynccontextmanager
async def _writing(client: Client, name: str) -> AsyncIterator[None]:
    writer = LedgerWriter(client, name)
    task = asyncio.ensure_future(writer.run())
    try:
        await writer.caught_up()
        yield
    finally:
        await writer.close()
        await cancel_and_wait(task)


async def _close(client: Client) -> None:
    await maybe_await(client.close())
