"""Options of mongodb_uri that would weaken the service are not used, and the log says what is used instead."""

import logging

import pytest
from bson import UUID_SUBTYPE, Binary
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.common import URI_OPTIONS_VALIDATOR_MAP
from pymongo.read_preferences import Primary

from tests.support.drivers import BOTH_DRIVERS
from tests.support.project import ROOT
from tornado_app.config import document
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.client.uri_options import OVERRIDDEN, REPORTED

both_drivers = pytest.mark.parametrize("driver", BOTH_DRIVERS)

WEAK = {
    "readPreference": "secondaryPreferred",
    "readPreferenceTags": "dc:east",
    "maxStalenessSeconds": "90",
    "readConcernLevel": "local",
    "w": "0",
    "journal": "false",
    "fsync": "true",
    "wTimeoutMS": "1",
    "retryWrites": "false",
    "retryReads": "false",
    "timeoutMS": "1",
    "socketTimeoutMS": "1",
    "waitQueueTimeoutMS": "1",
    "connectTimeoutMS": "1",
    "serverSelectionTimeoutMS": "1",
    "tz_aware": "false",
    "datetime_conversion": "DATETIME",
    "unicode_decode_error_handler": "ignore",
    "uuidRepresentation": "standard",
}
"""Each option that is overridden, with a value that would do harm."""

UNSAFE_TLS = ("tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames")

HARMLESS = {
    "appname", "authmechanism", "authmechanismproperties", "authsource", "compressors", "connect", "directconnection",
    "driver", "enableoverloadretargeting", "heartbeatfrequencyms", "loadbalanced", "localthresholdms",
    "maxadaptiveretries", "maxconnecting", "maxidletimems", "maxpoolsize", "minpoolsize", "replicaset", "server_api",
    "servermonitoringmode", "srvallowedhostssuffix", "srvmaxhosts", "srvservicename", "ssl", "tls", "tlscafile",
    "tlscertificatekeyfile", "tlscertificatekeyfilepassword", "tlscrlfile", "tlsdisableocspendpointcheck",
    "waitqueuemultiple", "zlibcompressionlevel",
}  # fmt: skip
"""Where and how to connect: the driver follows these. `maxPoolSize` is checked with the settings."""


@pytest.fixture
async def open_with():
    clients = []

    def make(options, driver="pymongo", host="h:1", **more):
        clients.append(connect(f"mongodb://{host}/?{options}", driver, **more))
        return clients[-1]

    yield make
    for client in clients:
        await maybe_await(client.close())


def test_driver_options_are_all_classified():
    assert set(OVERRIDDEN) == {name.lower() for name in WEAK}
    assert set(URI_OPTIONS_VALIDATOR_MAP) == {*OVERRIDDEN, *REPORTED, *HARMLESS}


def test_settings_page_names_every_overridden_or_reported_option():
    page = document.render()
    assert [name for name in (*WEAK, *UNSAFE_TLS) if f"`{name}`" not in page] == []
    assert {name.lower() for name in UNSAFE_TLS} == set(REPORTED)


@both_drivers
@pytest.mark.parametrize("separator", ["&", ";"])
async def test_weak_options_together_do_not_weaken_the_client(open_with, driver, separator):
    options = separator.join(f"{name}={value}" for name, value in WEAK.items())
    client = open_with(options, driver, timeout=7.0)
    assert client.read_preference == Primary()
    assert client.read_concern.level == "majority"
    assert client.write_concern.document == {"w": "majority", "j": True}
    found = client.options
    assert (found.retry_writes, found.retry_reads, found.timeout) == (True, True, None)
    assert (found.server_selection_timeout, found.pool_options.connect_timeout) == (7.0, 7.0)
    assert (found.pool_options.socket_timeout, found.pool_options.wait_queue_timeout) == (None, None)
    assert client.codec_options.tz_aware
    assert client.codec_options.unicode_decode_error_handler == "replace"


@pytest.mark.parametrize("name", WEAK)
async def test_weak_option_is_logged_with_its_replacement(open_with, caplog, name):
    spelled = name.upper()  # MongoDB's option names have no case
    open_with(f"{spelled}={WEAK[name]}&maxPoolSize=50")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"mongodb_uri: {spelled}={WEAK[name]} is not used: {OVERRIDDEN[name.lower()].instead}"


@pytest.mark.parametrize("option", UNSAFE_TLS)
async def test_insecure_tls_option_is_logged(open_with, caplog, option):
    open_with(f"tls=true&{option}=true")
    assert "an attacker on the network path can read and change the scores" in caplog.text


async def test_common_options_of_a_hosted_mongodb_are_not_logged(open_with, caplog):
    caplog.set_level(logging.INFO)
    client = open_with("retryWrites=true&w=majority&appName=Cluster0&authSource=admin&replicaSet=rs0&maxPoolSize=50")
    assert caplog.records == []
    assert client.options.pool_options.appname == "Cluster0"
    assert open_with("replicaSet=rs0").options.pool_options.appname == "leaderboard"


def test_part_of_a_password_is_not_logged(caplog):
    with pytest.raises(ValueError, match="Port"):
        connect("mongodb://zoe:pass?w=hunter2@h:1/")
    assert "hunter2" not in caplog.text


@both_drivers
async def test_external_documents_are_read_despite_strict_uri_options(mongo_database, open_with, driver):
    uri, name = mongo_database
    host = uri.removeprefix("mongodb://").partition("/")[0]
    client = open_with("replicaSet=rs0&unicode_decode_error_handler=strict&uuidRepresentation=standard", driver, host)
    text = b"\x02_id\x00\x03\x00\x00\x00a\xff\x00"
    broken = (len(text) + 5).to_bytes(4, "little") + text + b"\x00"
    with MongoClient(uri) as plain:
        plain[name]["players"].insert_many([{"_id": Binary(bytes(16), UUID_SUBTYPE)}, RawBSONDocument(broken)])
    found = await client[name]["players"].find().sort("_id", 1).to_list(None)
    assert [document["_id"] for document in found] == ["a\ufffd", Binary(bytes(16), UUID_SUBTYPE)]


def test_settings_document_names_every_overridden_option():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in WEAK if f"`{name}`" not in page] == []
