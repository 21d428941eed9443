// Compiled only: the class of the package `ws` fits the option, and the names of types are those of the documentation.
import { type ConnectionOptions, type ReadOptions, type Submitted, type WebSocketClass, connectLeaderboard } from "@leaderboard/client";
import WebSocket from "ws";

const options: ConnectionOptions = { url: "wss://board.example/ws/leaderboard", WebSocket };
const ofBrowser: WebSocketClass = globalThis.WebSocket;
export const connection = connectLeaderboard({ ...options, WebSocket: ofBrowser });
export const rank = ({ rank }: Submitted): number => rank ?? 0;
export const reading: ReadOptions = { version: 7 };
// @ts-expect-error: a function must return a token
connectLeaderboard({ token: () => 7 });
// @ts-expect-error: the rows are read-only
connectLeaderboard({ onBoard: (rows) => rows.push(null) });
