"""Fixtures: a running service with the default settings, its twin on the same database, an open one, and any other."""

import pytest

from tests.support.service import RunningService


@pytest.fixture(scope="module")
def run_service(tmp_path_factory, module_database):
    """Starts services that end with the module, before its database goes."""
    running = []

    def run(*flags, **options):
        service = RunningService(*flags, **options)
        running.append(service)
        return service.start(tmp_path_factory.mktemp("service") / "log")

    yield run
    for service in running:
        service.close()


@pytest.fixture(scope="module")
def service(run_service, module_database):
    uri, name = module_database
    return run_service(uri=uri, database=name)


@pytest.fixture(scope="module")
def twin(run_service, service, module_database):
    uri, name = module_database
    return run_service(uri=uri, database=name)


@pytest.fixture(scope="module")
def open_service(run_service, module_database):
    """Every API creates players, and pages of another site may call it."""
    uri, name = module_database
    return run_service("--auto-register", "--allowed-origins", "https://game.test", uri=uri, database=name)
