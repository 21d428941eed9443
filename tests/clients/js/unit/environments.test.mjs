// The modules where none of a browser's globals exists: a bare context of `vm`, and a worker thread.
// Node.js runs this with --experimental-vm-modules.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import vm from "node:vm";
import { Worker } from "node:worker_threads";

const SOURCE = new URL("../../../../clients/js/src/", import.meta.url);
const NONE = ["document", "window", "self", "navigator", "location", "addEventListener", "customElements", "HTMLElement", "WebSocket", "fetch", "crypto", "performance"];

/** What every JavaScript runtime has beside the language; React Native's URL is incomplete, so it is none of them. */
const given = () => ({ setTimeout, clearTimeout, setInterval, clearInterval, AbortController });

const USE = `
  const socket = new Promise((resolve) => {
    class FakeSocket {
      constructor(address) { resolve([this, address]); }
      listeners = {};
      addEventListener(type, listener) { (this.listeners[type] ??= []).push(listener); }
      emit(type, event) { this.listeners[type].forEach((listener) => listener(event)); }
      send() {}
      close() {}
    }
    globalThis.FakeSocket = FakeSocket;
  });
  const rows = [];
  const connection = client.connectLeaderboard({ url: "https://board.test/ws", WebSocket: FakeSocket, onBoard: (found) => rows.push(found) });
  const [opened, address] = await socket;
  const position = { userId: "a", username: "A", avatarUrl: null, score: 5, rank: 1, position: 1 };
  opened.emit("error", {});
  opened.emit("message", { data: JSON.stringify({ type: "leaderboard.update", data: { updatedPositions: [position] }, version: 1 }) });
  const live = connection.state.name;
  opened.emit("close", { code: 4403, reason: "origin_not_allowed" });
  const { final } = connection.state;
  connection.close();
  const answer = { ok: true, status: 200, headers: { get: () => null }, text: async () => '{"newScore": 5, "leaderboardPosition": 1}' };
  const done = await client.createScores({ url: "https://board.test", token: "t", fetch: async () => answer }).submit({ actionType: "x" });
  const result = JSON.stringify([address, live, final, rows[0][0].username, done.score, done.actionId.length]);
`;
const EXPECTED = ["wss://board.test/ws", "live", true, "A", 5, 36];

async function load(context, name) {
  const loaded = new Map();
  const module = async (address) => {
    if (!loaded.has(address.href)) {
      const text = await readFile(address, "utf-8");
      const made = new vm.SourceTextModule(text, { context, identifier: address.href });
      loaded.set(address.href, made);
    }
    return loaded.get(address.href);
  };
  const root = await module(new URL(name, SOURCE));
  await root.link((specifier, from) => module(new URL(specifier, from.identifier)));
  await root.evaluate();
  return root.namespace;
}

test("the client works in a context with timers alone", async () => {
  const context = vm.createContext(given());
  for (const name of NONE) assert.equal(vm.runInContext(`typeof ${name}`, context), "undefined", name);
  context.client = await load(context, "index.js");
  const result = await vm.runInContext(`(async () => { ${USE}; return result; })()`, context);
  assert.deepEqual(JSON.parse(result), EXPECTED);
});

test("the element's module loads there, and defines nothing", async () => {
  const context = vm.createContext(given());
  const { LiveLeaderboard } = await load(context, "live-leaderboard.js");
  assert.equal(typeof LiveLeaderboard, "function");
});

test("the client works in a worker thread", async () => {
  const code = `import { parentPort } from "node:worker_threads";
    import * as client from ${JSON.stringify(new URL("index.js", SOURCE).href)};
    import ${JSON.stringify(new URL("live-leaderboard.js", SOURCE).href)};
    ${USE}
    parentPort.postMessage(result);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  const result = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  assert.deepEqual(JSON.parse(result), EXPECTED);
  await worker.terminate();
});

test("no module of the package uses what React Native's engine does not parse", async () => {
  for (const name of ["index", "connection", "link", "json", "closing", "scores", "announcer", "live-leaderboard"]) {
    const text = await readFile(new URL(`${name}.js`, SOURCE), "utf-8");
    assert.doesNotMatch(text, /import\.meta|^await /m, name);
  }
});
