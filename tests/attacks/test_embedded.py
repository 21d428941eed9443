"""Attacks on the embedded MongoDB from the same machine, by a user without its password."""

from __future__ import annotations

import socket
import struct
import zlib

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from tests.support.embedded import parent, port_of

MSG, COMPRESSED = 2013, 2012
COMPRESSORS = {"snappy": 1, "zlib": 2, "zstd": 3}


@pytest.fixture(scope="module")
def port(tmp_path_factory, mongod_binary):
    with parent(tmp_path_factory.mktemp("embedded") / "data") as (_, uri, _):
        yield port_of(uri)


def test_client_without_a_password_is_refused(port):
    """Neither from the machine itself, nor to create the first user."""
    with MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=10_000) as client:
        for attack in (
            lambda: client.leaderboard.players.find_one(),
            lambda: client.leaderboard.players.update_one({}, {"$inc": {"score": 900}}, upsert=True),
            lambda: client.admin.command("createUser", "mallory", pwd="mallory", roles=["root"]),
            lambda: client.admin.command("shutdown"),
        ):
            with pytest.raises(OperationFailure, match="requires authentication"):
                attack()


def ask(port: int, opcode: int, payload: bytes) -> bytes:
    """Send one message of MongoDB's wire protocol; return the response, empty if the connection is closed instead."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(payload), 1, 0, opcode) + payload)
        try:
            return connection.recv(65536)
        except ConnectionResetError:
            return b""


def test_messages_with_a_false_size_return_no_memory(port):
    """CVE-2025-14847: mongod would inflate a short message into a long buffer, and return its previous content."""
    names = b"\x10a\0\1\0\0\0"
    for claimed in (100, 1000, 3000):
        message = struct.pack("<IBi", 0, 0, claimed) + names
        assert b"InvalidBSON" in ask(port, MSG, message), "uncompressed it is heard, and refused"
        for compressor in COMPRESSORS.values():
            payload = struct.pack("<iiB", MSG, claimed + 500, compressor) + zlib.compress(message)
            assert ask(port, COMPRESSED, payload) == b""
