// Connections over a scripted WebSocket, with time under control.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { connectLeaderboard } from "../../../../clients/js/src/index.js";

const HOUR = 3_600_000;
const url = "wss://board.test/ws/leaderboard";
const EMPTY = JSON.stringify({ type: "leaderboard.update", data: { updatedPositions: [] }, version: 1 });

/** What each socket does once it is open; the last entry also serves later sockets. */
let script = [];
let sockets = [];
let warnings = [];

class FakeSocket extends EventTarget {
  sent = [];

  constructor(address) {
    super();
    this.address = address;
    sockets.push(this);
    const act = script[Math.min(sockets.length, script.length) - 1];
    queueMicrotask(() => act(this));
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {}
}

const closes = (code, reason = "") => (socket) => socket.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
const says = (data) => (socket) => socket.dispatchEvent(Object.assign(new Event("message"), { data }));
const authenticates = (then) => async (socket) => {
  socket.dispatchEvent(new Event("open"));
  await settled();
  then(socket);
};

async function settled() {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

async function pass(milliseconds, step = 5_000) {
  for (let at = 0; at < milliseconds; at += step) {
    mock.timers.tick(Math.min(step, milliseconds - at));
    await settled();
  }
}

async function connect(...acts) {
  [script, sockets, warnings] = [acts, [], []];
  const states = [];
  const options = typeof acts.at(-1) === "object" ? script.pop() : {};
  const connection = connectLeaderboard({ url, WebSocket: FakeSocket, onState: (state) => states.push(state), ...options });
  await settled();
  return { connection, states };
}

beforeEach((context) => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  mock.method(console, "warn", (text) => warnings.push(text));
  mock.method(Math, "random", () => 0.999999);
  context.after?.(() => mock.reset());
});

for (const [code, reason, named] of [
  [1008, "", "gateway"],
  [1009, "", "token is too long"],
  [4400, "invalid_request", "query argument"],
  [4401, "invalid_token", "jwt_"],
  [4401, "expired_token", "function"],
  [4403, "origin_not_allowed", "allowed_origins"],
  [4404, "not_found", "refused"],
  [4404, "period_not_found", "api/v1/periods"],
  [4403, "a_code_of_next_year", "refused"],
  [4499, "", "refused"],
]) {
  test(`${code} ${reason} is final and warned about once`, async () => {
    const { connection, states } = await connect(closes(code, reason));
    await pass(HOUR);
    assert.equal(sockets.length, 1);
    const { name, final, retryAt, message } = states.at(-1);
    assert.deepEqual([name, final, retryAt, states.length], ["disconnected", true, null, 2]);
    assert.equal(warnings.length, 1);
    for (const text of [warnings[0], message]) assert.ok(text.includes(named), text);
    assert.ok(warnings[0].includes(`${code} ${reason}`.trim()) && warnings[0].includes(url));
    connection.retry();
    assert.equal(sockets.length, 2);
    connection.close();
  });
}

for (const [code, reason] of [[1000, ""], [1001, "going away"], [1005, ""], [1006, ""], [1011, ""], [1012, ""], [1013, "overloaded"], [undefined, undefined]]) {
  test(`${code} is followed by attempts without a warning`, async () => {
    const { connection, states } = await connect(says(EMPTY), closes(code, reason), says(EMPTY));
    closes(code, reason)(sockets[0]);
    await pass(5_000, 500);
    assert.equal(sockets.length, 3);
    assert.deepEqual(states.map(({ name }) => name), ["connecting", "live", "disconnected", "disconnected", "live"]);
    assert.ok(states.every(({ final }) => !final));
    assert.deepEqual(warnings, []);
    connection.close();
  });
}

test("too many connections is retried ever more slowly, and warned about once", async () => {
  const { connection, states } = await connect(closes(4429, "too_many_connections"));
  await pass(HOUR);
  const waits = states.slice(1).map(({ retryAt, since }) => [retryAt, since]);
  const gaps = waits.slice(1).map(([retryAt], at) => Math.round((retryAt - waits[at][0]) / 60_000));
  assert.deepEqual(gaps.slice(0, 5), [2, 4, 8, 16, 16]);
  assert.ok(states.every(({ final }) => !final));
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0].includes("max_connections_per_address"));
  connection.close();
});

test("an expired token is renewed once through the function, then it is final", async () => {
  const asked = [];
  const token = (refused) => asked.push(refused) && `t${asked.length}`;
  const refuses = authenticates(closes(4401, "expired_token"));
  const { connection, states } = await connect(refuses, { token });
  await pass(HOUR);
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(sockets.map(({ sent }) => sent), [[{ type: "authenticate", token: "t1" }], [{ type: "authenticate", token: "t2" }]]);
  assert.equal(states.at(-1).final, true);
  assert.equal(warnings.length, 1);
  connection.close();
});

test("a token that expires hours later is renewed each time", async () => {
  const asked = [];
  const { connection } = await connect(authenticates(says(EMPTY)), { token: (refused) => asked.push(refused) && "t" });
  for (const number of [1, 2, 3]) {
    await pass(60_000);
    closes(4401, "expired_token")(sockets.at(-1));
    await pass(2_000);
    assert.equal(asked.length >= number + 1 && asked.at(-1), true);
  }
  assert.deepEqual(warnings, []);
  connection.close();
});

test("a token function that fails is not a refusal", async () => {
  const { connection, states } = await connect(authenticates(() => {}), { token: () => Promise.reject(new Error("no session")) });
  await settled();
  assert.equal(states.at(-1).reason, "no token: Error: no session");
  assert.equal(states.at(-1).final, false);
  connection.close();
});

test("after a refusal neither the network nor the page's return opens a socket", async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    const { connection } = await connect(closes(4403, "origin_not_allowed"));
    for (const type of ["online", "offline", "pageshow"]) page.dispatchEvent(Object.assign(new Event(type), { persisted: true }));
    await pass(HOUR);
    assert.equal(sockets.length, 1);
    connection.close();
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test("a server that was never reached is warned about once, and still tried", async () => {
  const { connection, states } = await connect(closes(1006));
  await pass(10 * 60_000);
  assert.ok(sockets.length > 15);
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0].includes("Content-Security-Policy"));
  assert.equal(states.filter(({ message }) => message).length, states.length - 5);
  connection.close();
});

for (const data of ["<html>", "null", "7", new ArrayBuffer(2)]) {
  test(`a message that is no JSON object (${data}) ends the connection, not the client`, async () => {
    const { connection, states } = await connect(says(data), says(EMPTY));
    assert.equal(states.at(-1).reason, "a message that is not JSON");
    await pass(2_000);
    assert.equal(states.at(-1).name, "live");
    connection.close();
  });
}

test("what a socket reports after it was replaced or closed is ignored", async () => {
  const { connection, states } = await connect(says(EMPTY), says(EMPTY));
  connection.retry();
  await settled();
  closes(1006)(sockets[0]);
  says("<html>")(sockets[0]);
  await pass(60_000);
  assert.deepEqual([sockets.length, states.map(({ name }) => name)], [2, ["connecting", "live"]]);
  connection.close();
  for (const act of [says(EMPTY), closes(4403, "origin_not_allowed")]) act(sockets[1]);
  await pass(60_000);
  assert.deepEqual([sockets.length, states.length, warnings.length], [2, 2, 0]);
});

test("a message of an unknown type is skipped", async () => {
  const { connection, states } = await connect((socket) => [says('{"type": "next.year", "version": 9}'), says(EMPTY)].forEach((say) => say(socket)));
  assert.equal(states.at(-1).name, "live");
  connection.close();
});

test("without a page an address is needed, and without a global class a WebSocket", { skip: "WebSocket" in globalThis }, () => {
  assert.throws(() => connectLeaderboard({ WebSocket: FakeSocket }), { name: "TypeError", message: /url/ });
  assert.throws(() => connectLeaderboard({ url: "/ws", WebSocket: FakeSocket }), { name: "TypeError", message: /\/ws/ });
  assert.throws(() => connectLeaderboard({ url }), { name: "TypeError", message: /import WebSocket from "ws"/ });
});

for (const [given, used] of [
  ["https://a.test/ws", "wss://a.test/ws"],
  ["http://a.test/ws", "ws://a.test/ws"],
  [new URL("HTTPS://a.test/ws?x=http://b"), "wss://a.test/ws?x=http://b"],
  ["ws://[::1]:8000/ws", "ws://[::1]:8000/ws"],
]) {
  test(`the address ${given} becomes ${used}`, async () => {
    const { connection } = await connect(() => {}, { url: given });
    assert.equal(sockets[0].address, used);
    connection.close();
  });
}

test("a board's socket is that of its path", async () => {
  for (const [board, used] of [["main", ""], ["kart", "boards/kart/"], ["a/b$&", "boards/a%2Fb%24%26/"]]) {
    const { connection } = await connect(() => {}, { url: "https://a.test/game/ws/leaderboard", board });
    assert.equal(sockets.at(-1).address, `wss://a.test/game/${used}ws/leaderboard`);
    connection.close();
  }
  assert.throws(() => connectLeaderboard({ url: `${url}?x`, board: "kart", WebSocket: FakeSocket }), { name: "TypeError", message: /with `board`/ });
});

test("a period is an argument of the address", async () => {
  for (const [given, board, used] of [
    [url, "main", "wss://board.test/ws/leaderboard?period=weekly"],
    [url, "kart", "wss://board.test/boards/kart/ws/leaderboard?period=weekly"],
    ["wss://a.test/ws?x=1", "main", "wss://a.test/ws?x=1&period=weekly"],
  ]) {
    const { connection } = await connect(() => {}, { url: given, board, period: "weekly" });
    assert.equal(sockets.at(-1).address, used);
    connection.close();
  }
});

test("a period's epochs are announced with the time that is left by the service's clock", async () => {
  const epochs = [];
  const message = { type: "period", period: "weekly", epoch: 15, state: "ending", end: "2040-01-02T10:01:00.000Z", now: "2040-01-02T10:00:30.500Z" };
  const says_ = [message, { ...message, epoch: 16, state: "open", end: null }, { ...message, now: "2040-01-02T10:01:00.200Z" }];
  const { connection } = await connect((socket) => says_.forEach((it) => says(JSON.stringify(it))(socket)), { period: "weekly", onPeriod: (epoch) => epochs.push(epoch) });
  const end = new Date("2040-01-02T10:01:00Z");
  assert.deepEqual(epochs, [
    { period: "weekly", epoch: 15, state: "ending", end, remaining: 29_500 },
    { period: "weekly", epoch: 16, state: "open", end: null, remaining: null },
    { period: "weekly", epoch: 15, state: "ending", end, remaining: 0 },
  ]);
  assert.ok(Object.isFrozen(epochs[0]));
  connection.close();
});
