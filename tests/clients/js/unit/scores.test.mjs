// Submissions and reads over a scripted fetch; pauses end at once.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { LeaderboardError, createScores } from "../../../../clients/js/src/index.js";

const url = "https://board.test/prefix";
const COUNTED = answer(200, { success: true, newScore: 150, leaderboardPosition: 3, message: "" });
const realTimeout = globalThis.setTimeout;

/** The pauses that were asked for, in milliseconds. */
let pauses = [];

function answer(status, body, headers = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return () => Promise.resolve(new Response(text, { status, headers }));
}

function refusal(status, code, headers) {
  return answer(status, { error: code, message: `No: ${code}.` }, headers);
}

const offline = () => Promise.reject(new TypeError("fetch failed"));

function scores(acts, options = {}) {
  const calls = [];
  const fetch = (address, init) => {
    calls.push({ address, ...init });
    return acts[Math.min(calls.length, acts.length) - 1](init);
  };
  return [createScores({ url, token: "t", fetch, ...options }), calls];
}

beforeEach((context) => {
  pauses = [];
  mock.method(Math, "random", () => 0.5);
  mock.method(globalThis, "setTimeout", (act, delay) => {
    if (delay >= 5_000) return realTimeout(act, delay).unref(); // an attempt's time limit
    pauses.push(delay);
    return realTimeout(act, 0);
  });
  context.after?.(() => mock.reset());
});

for (const [name, first] of [
  ["no network", offline],
  ["a proxy's page", answer(502, "<html>bad gateway")],
  ["a network that wants a login", answer(200, "<html>welcome")],
  ["an answer that is no object", answer(200, "null")],
  ["429 without a time", refusal(429, "rate_limited")],
  ["500", refusal(500, "internal_error")],
  ["503", refusal(503, "shutting_down")],
  ["504", answer(504, "")],
]) {
  test(`after ${name} the same action is sent again under the same id`, async () => {
    const [board, calls] = scores([first, first, COUNTED]);
    const seen = [];
    const done = await board.submit({ actionType: "level_complete" }, { onRetry: (error, delay) => seen.push([error.actionId, delay]) });
    assert.equal(calls.length, 3);
    assert.equal(new Set(calls.map(({ body }) => body)).size, 1);
    assert.deepEqual(JSON.parse(calls[0].body), { actionId: done.actionId, actionType: "level_complete" });
    assert.deepEqual(pauses, [250, 500]); // half of 500, half of 1000
    assert.deepEqual(seen, [[done.actionId, 250], [done.actionId, 500]]);
    assert.deepEqual({ ...done, actionId: "" }, { score: 150, rank: 3, improved: null, periods: null, actionId: "", replayed: false, version: null });
  });
}

for (const [header, pause] of [["3", 3_250], ["0", 250], ["Wed, 21 Oct 2015 07:28:00 GMT", 250], ["soon", 250]]) {
  test(`Retry-After: ${header}`, async () => {
    const [board] = scores([refusal(503, "overloaded", { "Retry-After": header }), COUNTED]);
    await board.submit({ actionType: "x" });
    assert.deepEqual(pauses, [pause]);
  });
}

for (const [status, code] of [
  [400, "invalid_body"], [401, "invalid_token"], [403, "action_proof_required"], [404, "player_not_found"],
  [409, "action_conflict"], [413, "body_too_large"], [415, "unsupported_media_type"], [431, "headers_too_large"],
]) {
  test(`${status} is final`, async () => {
    const [board, calls] = scores([refusal(status, code)]);
    await assert.rejects(board.submit({ actionType: "x", actionId: "a-1" }), (error) => {
      assert.ok(error instanceof LeaderboardError);
      assert.deepEqual({ ...error }, { name: "LeaderboardError", status, code, retryAfter: null, actionId: "a-1" });
      assert.equal(error.message, `No: ${code}.`);
      return true;
    });
    assert.equal(calls.length, 1);
  });
}

test("a wait beyond the deadline, or beyond maxWait, is reported at once", async () => {
  const limited = refusal(429, "rate_limited", { "Retry-After": "40" });
  for (const options of [{}, { deadline: 60_000, maxWait: 2_000 }]) {
    const [board, calls] = scores([limited]);
    await assert.rejects(board.submit({ actionType: "x" }, options), { code: "rate_limited", retryAfter: 40_000 });
    assert.equal(calls.length, 1);
  }
});

test("without an answer until the deadline the last failure is thrown, with the id to submit again", async () => {
  mock.timers.enable({ apis: ["Date"] });
  const [board, calls] = scores([() => (mock.timers.tick(8_000), offline())]);
  await assert.rejects(board.submit({ points: 5 }), (error) => error.code === "network_error" && error.status === 0 && error.actionId.length === 36);
  assert.equal(calls.length, 4);
  mock.timers.reset();
});

test("an attempt that hangs is given up", async () => {
  mock.method(globalThis, "setTimeout", (act) => realTimeout(act, 0));
  const hangs = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const [board, calls] = scores([hangs, COUNTED]);
  const seen = [];
  await board.submit({ actionType: "x" }, { onRetry: ({ code }) => seen.push(code) });
  assert.deepEqual([seen, calls.length], [["timeout"], 2]);
});

test("an abort ends the attempt, the pause, and a submission that has not begun", async () => {
  const hangs = ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  for (const act of [hangs, offline]) {
    const controller = new AbortController();
    const [board, calls] = scores([act]);
    const submitted = board.submit({ actionType: "x" }, { signal: controller.signal, onRetry: () => controller.abort(new Error("left")) });
    if (act === hangs) realTimeout(() => controller.abort(new Error("left")), 5);
    await assert.rejects(submitted, { message: "left" });
    assert.equal(calls.length, 1);
    await assert.rejects(board.submit({ actionType: "x" }, { signal: controller.signal }), { message: "left" });
    assert.equal(calls.length, 1);
  }
});

test("a refused token is renewed once", async () => {
  const asked = [];
  const token = (refused) => asked.push(refused) && `t${asked.length}`;
  const expired = refusal(401, "expired_token");
  const [board, calls] = scores([expired, COUNTED], { token });
  await board.submit({ actionType: "x" });
  assert.deepEqual(asked, [false, true]);
  assert.deepEqual(calls.map(({ headers }) => headers.Authorization), ["Bearer t1", "Bearer t2"]);
  const [stubborn, again] = scores([expired], { token });
  await assert.rejects(stubborn.submit({ actionType: "x" }), { code: "expired_token" });
  assert.equal(again.length, 2);
});

test("points go to API F under an idempotency key, with all their digits", async () => {
  const [board, calls] = scores([answer(201, '{"user_id": "al/ice", "score": 9223372036854775807, "rank": 2, "improved": true, "periods": {}}')]);
  const done = await board.submit({ points: 9223372036854775806n, actionId: "k-1", userId: 'a"b' });
  const [{ address, headers, body }] = calls;
  assert.equal(address, "https://board.test/prefix/api/v1/scores");
  assert.equal(headers["Idempotency-Key"], "k-1");
  assert.equal(body, '{"points":9223372036854775806,"user_id":"a\\"b"}');
  assert.deepEqual([done.rank, done.improved, done.periods], [2, true, {}]);
});

test("a score goes to API F of its board, with type, player and metadata", async () => {
  const reached = answer(200, { user_id: "a", score: 83123, submitted: 83200, improved: false, rank: 12, total: 20, next: null, periods: { weekly: { epoch: 14, score: 83123, improved: true } }, updated_at: "t" });
  const [board, calls] = scores([reached], { board: "kart" });
  const done = await board.submit({ score: 83200, actionType: "lap", actionId: "l-1", userId: 'a"b', metadata: { car: "é" } });
  const [{ address, headers, body }] = calls;
  assert.equal(address, "https://board.test/prefix/boards/kart/api/v1/scores");
  assert.equal(headers["Idempotency-Key"], "l-1");
  assert.deepEqual(JSON.parse(body), { score: 83200, action_type: "lap", user_id: 'a"b', metadata: { car: "é" } });
  assert.deepEqual([done.score, done.rank, done.improved], [83123, 12, false]);
  assert.deepEqual(done.periods, { weekly: { epoch: 14, score: 83123, improved: true } });
  for (const score of [0, -4611686018427387903n]) {
    await board.submit({ score, actionId: "l-2" });
    assert.equal(calls.at(-1).body, `{"score":${score}}`);
  }
});

test("reads are of the board", async () => {
  const [client, calls] = scores([answer(200, { leaderboard: [], totalUsers: 0, lastUpdated: null })], { board: "a b" });
  await client.leaderboard();
  assert.equal(calls[0].address, "https://board.test/prefix/boards/a%20b/api/leaderboard");
});

test("reads are of the period, and submissions are of all", async () => {
  const [client, calls] = scores([answer(200, { leaderboard: [], user_id: "a", newScore: 1 })], { period: "weekly" });
  await client.leaderboard();
  await client.player("a");
  await client.submit({ actionType: "x" });
  assert.deepEqual(calls.map(({ address }) => address.slice(url.length)), [
    "/api/leaderboard?period=weekly",
    "/api/v1/players/a?period=weekly",
    "/api/scores/update",
  ]);
});

test("the score of a proof is submitted under its id", async () => {
  const claims = Buffer.from('{"sub":"a","act":"lap","jti":"j-1","scr":-83123,"brd":"kart"}').toString("base64url");
  const [board, calls] = scores([answer(200, { score: 5, rank: 1, improved: true })], { board: "kart" });
  await board.submit({ proof: `h.${claims}.s` });
  assert.equal(calls[0].body, '{"score":-83123}');
  assert.equal(calls[0].headers["Idempotency-Key"], "j-1");
});

test("a proof is forwarded, under its own id and type", async () => {
  const payload = Buffer.from(JSON.stringify({ sub: "zoë", act: "level_complete", jti: "j-1?>", exp: 1 })).toString("base64url");
  const proof = `h.${payload}.s`;
  const [board, calls] = scores([COUNTED]);
  const done = await board.submit({ proof, captcha: "c" });
  assert.equal(done.actionId, "j-1?>");
  assert.deepEqual(JSON.parse(calls[0].body), { actionId: "j-1?>", actionType: "level_complete" });
  assert.deepEqual([calls[0].headers["Action-Proof"], calls[0].headers["Captcha-Token"]], [proof, "c"]);
  await assert.rejects(board.submit({ proof: "garbage" }), { name: "TypeError", message: /action proof/ });
});

for (const action of [{}, { actionType: "x", points: 5 }, { score: 5, points: 5 }, { metadata: {} }]) {
  test(`an action needs a type, points or a score, not ${JSON.stringify(action)}`, async () => {
    const [board, calls] = scores([COUNTED]);
    await assert.rejects(board.submit(action), TypeError);
    assert.equal(calls.length, 0);
  });
}

test("an id is a UUID wherever it is made", async () => {
  const { crypto } = globalThis;
  const made = [];
  for (const given of [crypto, { getRandomValues: (bytes) => crypto.getRandomValues(bytes) }, undefined]) {
    Object.defineProperty(globalThis, "crypto", { value: given, configurable: true });
    const [board] = scores([COUNTED]);
    made.push((await board.submit({ actionType: "x" })).actionId);
  }
  Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
  for (const id of made) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

// -- reads --------------------------------------------------------------------------------------------

const board = (version, rows = []) =>
  answer(200, { leaderboard: rows, totalUsers: rows.length, lastUpdated: null }, version === null ? {} : { "Board-Version": String(version) });
const counted = (version) => answer(200, { newScore: 5, leaderboardPosition: 1 }, { "Board-Version": String(version), "Idempotent-Replay": "true" });

test("a read asks for the version of one's own write, and again while the answer is older", async () => {
  const [client, calls] = scores([counted(7), board(5), board(6), board(8, [{ userId: "a", username: "A", avatarUrl: null, score: 5, rank: 1 }])]);
  const done = await client.submit({ actionType: "x" });
  assert.deepEqual([done.version, done.replayed], [7, true]);
  const read = await client.leaderboard();
  assert.deepEqual(calls.slice(1).map(({ headers }) => headers["If-Board-Version"]), ["7", "7", "7"]);
  assert.deepEqual([read.version, read.stale, read.rows[0].userId, client.version], [8, false, "a", 8]);
});

test("an answer that stays older is believed after the deadline, and says so", async () => {
  mock.timers.enable({ apis: ["Date"] });
  const [client, calls] = scores([counted(7), (init) => (mock.timers.tick(1_000), board(5)(init))]);
  await client.submit({ actionType: "x" });
  const read = await client.leaderboard({ deadline: 2_500 });
  assert.deepEqual([read.version, read.stale, client.version, calls.length], [5, true, 5, 4]);
  assert.equal((await client.leaderboard()).stale, false);
  mock.timers.reset();
});

test("a service that names no version is read once", async () => {
  const [client, calls] = scores([board(null)]);
  const read = await client.leaderboard();
  assert.deepEqual([read.version, read.stale, calls.length, "If-Board-Version" in calls[0].headers], [null, false, 1, false]);
});

for (const id of ["auth0|5f7c", "a/b", "did:web:example.com%3A3000", "with a space", "+/="]) {
  test(`the player ${id} is one segment of the path`, async () => {
    const [client, calls] = scores([answer(200, { user_id: id, username: "Z", avatar_url: null, score: 1, rank: 2, updated_at: "t" })]);
    const found = await client.player(id);
    assert.equal(decodeURIComponent(calls[0].address.split("/").at(-1)), id);
    assert.equal(calls[0].address.split("/").length, 8);
    assert.deepEqual({ ...found }, { userId: id, username: "Z", avatarUrl: null, score: 1, rank: 2, updatedAt: "t", version: null, stale: false });
  });
}

test("a read without a token is anonymous, and repeated after a failure that passes", async () => {
  const [client, calls] = scores([offline, refusal(500, "database_error", { "Retry-After": "1" }), board(3)], { token: undefined });
  await client.leaderboard();
  assert.deepEqual(calls.map(({ headers }) => headers.Authorization), [undefined, undefined, undefined]);
  await assert.rejects(scores([refusal(404, "player_not_found")])[0].player("x"), { status: 404, actionId: null });
});

test("without a page an address is needed", () => {
  assert.throws(() => createScores(), { name: "TypeError", message: /url/ });
});
