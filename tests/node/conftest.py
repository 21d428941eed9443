"""Images, and a Kubernetes with a real node that runs them: one of each for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import PAUSE, Images, need_tools
from tests.support.node import NodeCluster, need_node
from tests.support.npm import packages

MONGODB = Path(__file__).parent / "mongodb"


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Iterator[Images]:
    need_tools()
    with Images(tmp_path_factory.mktemp("images") / "store") as found:
        yield found


@pytest.fixture(scope="session")
def node(images, mongod_binary, tmp_path_factory) -> Iterator[NodeCluster]:
    """A node that has the service, the operator, and a MongoDB for the chart's `devMongodb`."""
    need_node()
    context = tmp_path_factory.mktemp("mongodb")
    shutil.copytree(packages(MONGODB / "package-lock.json", "MongoDB's shell"), context / "node_modules", symlinks=True)
    shutil.copy(mongod_binary, context)
    shutil.copy(MONGODB / "Dockerfile", context)
    names = [PAUSE, images.build("app"), images.build("operator"), images.build_from(context, "mongodb")]
    with NodeCluster(*(images.export(name) for name in names)) as running:
        yield running
