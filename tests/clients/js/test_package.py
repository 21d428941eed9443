"""The npm package as it is published, in an application of Vite and TypeScript and in Node.js, on a real service."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.clients.js.toolchain import CONSUMER, NAME, PACKAGE, declarations, install, node, pack, run
from tests.support.project import ROOT
from tests.support.service import RunningService, token
from tests.support.wait import eventually
from tornado_app import __version__

CLIENT_GUIDE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))


def snippets(text: str) -> list[tuple[str, str]]:
    """The code blocks that a compiler understands: language and code."""
    return re.findall(r"^```(tsx|ts)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node()
    return pack(tmp_path_factory.mktemp("tarball"))


@pytest.fixture(scope="module")
def application(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the application's source, and the package installed."""
    folder = tmp_path_factory.mktemp("application")
    shutil.copytree(CONSUMER, folder, dirs_exist_ok=True)
    for number, (language, code) in enumerate(snippets(CLIENT_GUIDE) + snippets(README)):
        (folder / "src" / f"snippet{number}.{language}").write_text(f"{code}\nexport {{}};\n", encoding="utf-8")
    install(tarball, folder)
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the origin under which it is served."""
    folder = tmp_path_factory.mktemp("pages")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Nothing to the terminal."""


@pytest.fixture(scope="module")
def service(
    module_database: tuple[str, str], pages: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    uri, name = module_database
    running = RunningService("--allowed-origins", pages[1], uri=uri, database=name)
    running.start(tmp_path_factory.mktemp("service") / "log")
    yield running
    running.close()


# -- what is in it -----------------------------------------------------------------------------------


def test_declarations_match_the_modules(tmp_path: Path) -> None:
    """Else: `python -m tests.clients.js.toolchain`. The compiler checks the modules' own types, too."""
    there = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "src").glob("*.d.ts")}
    assert there == declarations(tmp_path)


def test_tarball_has_modules_types_readme_and_licence(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    served_only = {"leaderboard.js", "leaderboard.d.ts"}
    source = {f"src/{path.name}" for path in (PACKAGE / "src").iterdir() if path.name not in served_only}
    assert names == source | {"package.json", "README.md", "LICENSE"}
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_manifest_names_existing_files() -> None:
    assert (MANIFEST["name"], MANIFEST["version"]) == (NAME, __version__)
    assert not {"dependencies", "devDependencies", "scripts"} & set(MANIFEST)
    entries = [entry for entry in MANIFEST["exports"].values() if isinstance(entry, dict)]
    assert all(next(iter(entry)) == "types" for entry in entries)  # conditions are tried in order
    named = [path for entry in entries for path in entry.values()]
    for path in (*named, MANIFEST["main"], MANIFEST["types"], *MANIFEST["sideEffects"]):
        assert (PACKAGE / path).is_file(), path


# -- Vite and TypeScript -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(application: Path, pages: tuple[Path, str]) -> str:
    """The application, compiled and built; its address."""
    modules = application / "node_modules"
    run(node(), modules / "typescript" / "bin" / "tsc", "--project", ".", cwd=application)
    vite = (modules / "vite").resolve() / "bin" / "vite.js"
    printed = run(node(), vite, "build", "--outDir", pages[0], "--emptyOutDir", "--logLevel", "warn", cwd=application)
    assert "warn" not in printed.lower(), printed
    return pages[1]


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, built: str, service: RunningService) -> Any:
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.faults = faults  # type: ignore[attr-defined]
    await page.goto(f"{built}/#service={service.url}/&token={token('vite', name='Vité')}")
    await eventually(lambda: page.evaluate("seen.states.at(-1) === 'live'"), what="the page")
    yield page
    await context.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_built_application_of_another_origin_scores_and_sees_it(page: Page) -> None:
    done = await page.evaluate("submit(500, 'v-1')")
    assert (done["score"], done["replayed"], done["actionId"]) == (500, False, "v-1")
    assert (done["own"], done["first"], done["stale"]) == (500, "Vité", False)
    assert isinstance(done["version"], int)  # readable for a page of another origin, too
    again = await page.evaluate("submit(500, 'v-1')")
    assert (again["score"], again["replayed"]) == (500, True)
    await eventually(
        lambda: page.evaluate("seen.rows.some((row) => row?.username === 'Vité') && seen.scores.includes(500)"),
        what="the page",
    )
    await expect(page.get_by_role("rowheader", name="Vité")).to_be_visible()
    await expect(page.get_by_role("columnheader")).to_have_text(["Rank", "Name", "Score"])
    assert page.faults == []  # type: ignore[attr-defined]


@pytest.mark.asyncio(loop_scope="session")
async def test_page_of_a_refused_origin_warns_once_and_stays_refused(
    browser: Browser, built: str, service: RunningService
) -> None:
    page = await browser.new_page()
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    other = built.replace("127.0.0.1", "localhost")
    await page.goto(f"{other}/#service={service.url}/")
    await eventually(lambda: page.evaluate("connection.state.final"), what="the page")
    await expect(page.get_by_text("The board is not available.").first).to_be_visible()
    state = await page.evaluate("connection.state")
    assert (state["code"], state["reason"], state["retryAt"]) == (4403, "origin_not_allowed", None)
    assert len(warnings) == 2  # the connection's and the element's
    assert all("allowed_origins" in warning and other in warning for warning in warnings)
    await page.context.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_refusal_is_an_error_with_the_services_code(page: Page) -> None:
    assert await page.evaluate("refused()") == [400, "unknown_action_type"]


def test_unused_parts_are_not_in_the_bundle(application: Path, tmp_path: Path) -> None:
    """`sideEffects`: who only watches gets neither the submissions nor the element."""
    (application / "lean.js").write_text('export { connectLeaderboard } from "@leaderboard/client";', encoding="utf-8")
    script = """import { build } from "vite";
    const lib = { entry: "lean.js", formats: ["es"], fileName: "lean" };
    await build({ logLevel: "warn", publicDir: false, build: { lib, outDir: process.argv[2], minify: false } });"""
    (application / "lean.build.mjs").write_text(script, encoding="utf-8")
    run(node(), "--preserve-symlinks", "lean.build.mjs", tmp_path, cwd=application)
    [bundle] = tmp_path.iterdir()
    text = bundle.read_text(encoding="utf-8")
    assert "ws/leaderboard" in text
    assert "Idempotency-Key" not in text
    assert "customElements" not in text


# -- Node.js -----------------------------------------------------------------------------------------


def test_node_program_scores_reads_its_write_and_ends(application: Path, service: RunningService) -> None:
    printed = run(node(), "node.mjs", service.url, token("node", name="Node"), cwd=application)
    found = json.loads(printed)
    first, again = found["first"], found["again"]
    assert (first["score"], again["score"], found["scored"]) == (again["score"], first["score"], first["score"])
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert (found["player"]["username"], found["player"]["score"]) == ("Node", first["score"])


def test_expired_token_is_renewed_without_a_gap(application: Path, service: RunningService) -> None:
    soon, fresh = token("renewed", ttl=2), token("renewed")
    states = json.loads(run(node(), "renew.mjs", service.url, soon, fresh, cwd=application))
    assert states == [["connecting", None], ["live", None], ["disconnected", "expired_token"], ["live", None]]


def test_require_works_or_reports_the_remedy(application: Path) -> None:
    """Node.js 20.19 and 22.12 load a module by `require`; older ones name `import()`."""
    code = f"""try {{ console.log(typeof require({NAME!r}).connectLeaderboard); }}
    catch ({{ code, message }}) {{ console.log(code, message); }}"""
    printed = run(node(), "--no-warnings", "-e", code, cwd=application)
    assert re.match(r"function\n|ERR_REQUIRE_ESM .*import\(\)", printed), printed


def test_types_resolve_in_a_node_program(application: Path) -> None:
    """`node16` resolution follows `exports` as Node.js does."""
    (application / "nodenext.mts").write_text(
        'import { type State, connectLeaderboard } from "@leaderboard/client";\n'
        'export const state: State = connectLeaderboard({ url: "wss://board.example" }).state;\n',
        encoding="utf-8",
    )
    compiler = application / "node_modules" / "typescript" / "bin" / "tsc"
    flags = "--noEmit --strict --module nodenext --target es2022 --lib es2023,dom --types ws"
    run(node(), compiler, *flags.split(), "nodenext.mts", cwd=application)
