"""`python -m tests.fuzz <target> [seconds]`: coverage-guided fuzzing, from the corpus that is kept beside this file.

What is new goes to a folder of its own, named at the start; an input that fails is printed and kept there too.
Exit code 0: nothing was found in the time given. Source of the options: libFuzzer's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "json",
        "jose",
        "tornado_app.api.schema",
        "tornado_app.http.fast_path",
        "tornado_app.auth",
        "tornado_app.core",
    ]
):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")


def main(target: str, seconds: str = "60") -> None:
    """Fuzz one target for so many seconds."""
    folder = tempfile.mkdtemp(prefix=f"leaderboard-fuzz-{target}-")
    sys.stderr.write(f"fuzzing {target} for {seconds} s; what is found is kept in {folder}\n")
    options = [f"-max_total_time={seconds}", "-max_len=8192", f"-artifact_prefix={folder}/failed-", "-timeout=60"]
    atheris.Setup(
        [sys.argv[0], *options, f"-dict={CORPUS}/{target}.dict", folder, str(CORPUS / target)], TARGETS[target]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
