"""`leaderboard audit` of the database of a `LedgerHarness`."""

import asyncio
import io
import json
from argparse import ArgumentParser, Namespace

from tornado_app import audit


async def audited(harness, *flags, page=1000):
    """The exit code, and the lines of JSON.

    The wait for a ledger without a writer is short. On a busy machine a writer may lose its lease of one second.
    """
    waiting = {"recheck_seconds": 0.3, "ledger_timeout": 60.0 if harness.running else 1.0, "page": page}
    uri = f"mongodb://{harness.sync.client.address[0]}:{harness.sync.client.address[1]}/?replicaSet=rs0"
    out = io.StringIO()
    argv = ["--mongodb-uri", uri, "--mongodb-database", harness.name, "--rate-limit", "1000/60s", "--json", *flags]
    code = await asyncio.to_thread(audit.run, options(*argv), out=out, err=io.StringIO(), **waiting)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def options(*argv):
    parser = ArgumentParser()
    audit.add_options(parser)
    found = parser.parse_args(argv)
    assert isinstance(found, Namespace)
    return found


async def differences(harness, *flags, page=1000):
    code, lines = await audited(harness, *flags, page=page)
    found = [(line["kind"], line.get("player"), line.get("n")) for line in lines if line["type"] == "difference"]
    assert code == (1 if found else 0)
    assert lines[-1]["type"] == "summary"
    assert lines[-1]["differences"] == len(found)
    return found
