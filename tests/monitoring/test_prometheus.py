"""The Prometheus of the tests: it scrapes, evaluates rules, answers queries and reports invalid ones."""

from __future__ import annotations

import pytest
import yaml

from tests.support.prometheus import Prometheus, QueryError
from tests.support.wait import wait_until


@pytest.fixture
def prometheus(tmp_path):
    """One that scrapes itself, and records."""
    rules = {"groups": [{"name": "one", "rules": [{"record": "targets:up:sum", "expr": "sum(up)"}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    with Prometheus(tmp_path, [], [tmp_path / "rules.yml"]) as first:
        target = {"job_name": "other", "static_configs": [{"targets": [f"127.0.0.1:{first.port}"]}]}
        with Prometheus(tmp_path / "second", [target], [tmp_path / "rules.yml"]) as running:
            yield running


def test_scraped_series_can_be_queried(prometheus):
    (found,) = wait_until(lambda: prometheus.query("targets:up:sum == 1"), 20, "a scrape and an evaluation")
    assert found["value"][1] == "1"
    assert prometheus.query("no_such_series") == []
    assert prometheus.query("1 + 1")[0]["value"][1] == "2"


def test_invalid_expression_is_refused_with_the_error_of_prometheus(prometheus):
    with pytest.raises(QueryError, match="parse error"):
        prometheus.query("sum(")
