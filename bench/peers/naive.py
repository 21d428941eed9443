"""The service that one writes in an hour: Tornado and Motor, a token check, one `find_one_and_update` a request.

No limit, no exactly-once, no ledger, no metrics, no audit lines; the write concern is the driver's default.

python -m bench.peers.naive MONGODB_URI DATABASE, with the tokens' secret in the variable BENCH_SECRET
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from jose import JWTError, jwt
from motor.motor_tornado import MotorClient
from pymongo import ReturnDocument
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, HTTPError, RequestHandler

from bench.peers.listening import ready, serve


class Score(RequestHandler):
    def initialize(self, players: Any, secret: str) -> None:
        self._players = players
        self._secret = secret

    async def post(self) -> None:
        user_id = self._caller()
        points = json.loads(self.request.body)["score"]
        now = datetime.now(UTC)
        document = await self._players.find_one_and_update(
            {"_id": user_id},
            {"$inc": {"score": points}, "$set": {"updatedAt": now}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        self.write({"user_id": user_id, "score": document["score"], "updated_at": now.isoformat()})

    def _caller(self) -> str:
        _, _, token = self.request.headers.get("Authorization", "").partition(" ")
        try:
            return str(jwt.decode(token, self._secret, algorithms=["HS256"])["sub"])
        except JWTError:
            raise HTTPError(401) from None


def nothing(_handler: RequestHandler | HTTPServerRequest) -> None:
    """No access log, as the service writes none."""


async def main(uri: str, database: str) -> None:
    players: Any = MotorClient(uri)[database]["players"]
    parts = {"players": players, "secret": os.environ["BENCH_SECRET"]}
    url = serve(Application([("/api/score", Score, parts)], log_function=nothing))
    ready(url)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
