"""Every input of the corpus without a fuzzer, and tests of the fuzz targets' checks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(path for target in TARGETS for path in (CORPUS / target).iterdir())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_corpus_input_breaks_no_rule(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_corpus_is_small():
    assert all(path.stat().st_size <= 4096 for path in INPUTS)


def test_step_counter_counts_steps():
    with pytest.raises(AssertionError, match="steps for 1 bytes"):
        targets.counted(lambda: [len("") for _ in range(2000)], 1)


GROWING = {
    "nested": lambda n: b'a\n{"x": ' + b"[" * n + b"]" * n + b"}",
    "open": lambda n: b"a\n" + b"[" * n,
    "digits": lambda n: b'a\n{"score": ' + b"1" * n + b"}",
    "exponent": lambda n: b'a\n{"score": 1e' + b"1" * n + b"}",
    "escapes": lambda n: b'd\n{"action_id": "' + b"\\u0061" * (n // 6) + b'"}',
    "backslashes": lambda n: b'd\n{"action_id": "' + b"\\" * n,
    "members": lambda n: b"a\n{" + b",".join(b'"%d":1' % k for k in range(n // 10)) + b"}",
    "spaces": lambda n: b"a\n" + b" " * n,
    "name": lambda n: b'profile\n{"username": "' + "\u0308".encode() * (n // 2) + b'"}',
    "media": lambda n: b'profile\n{"avatar_url": "http://' + b"[" * n + b'"}',
}


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_parse_time_grows_linearly_with_the_body(make):
    """Processor time, the least of several, of one size against another: what the machine does besides is no part."""

    def fastest(size: int) -> float:
        data, times = make(size), []
        for _ in range(15):
            start = time.process_time()
            for _ in range(10):
                targets.body(data)
            times.append(time.process_time() - start)
        return min(times)

    assert fastest(12_000) < 10 * fastest(3_000)
