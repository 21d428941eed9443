/** Milliseconds from opening the socket to the first message. */
export const FIRST_MESSAGE: 15000;
export class Link {
    /**
     * @param {WebSocketClass} Socket
     * @param {string} url
     * @param {() => Token | Promise<Token>} token
     * @param {{ board: (link: Link) => void, outOfOrder: () => void, score: (score: ScoreUpdate) => void,
     *           period: (epoch: Epoch) => void, end: (link: Link, code: number, reason: string) => void }} events
     */
    constructor(Socket: WebSocketClass, url: string, token: () => Token | Promise<Token>, events: {
        board: (link: Link) => void;
        outOfOrder: () => void;
        score: (score: ScoreUpdate) => void;
        period: (epoch: Epoch) => void;
        end: (link: Link, code: number, reason: string) => void;
    });
    /** @type {readonly (Row | null)[]} */ rows: readonly (Row | null)[];
    version: number;
    heardAt: number;
    /** @type {number | null} When the first message came. */ liveSince: number | null;
    /** Close, and report nothing from now on: a dead socket takes minutes to report that it closed. */
    drop(): void;
    /** Whether no message came for once to twice `patience` milliseconds; each link has its own limit within that, so
    that
   * the clients of one broadcast do not all act at the same moment.
     * @param {number} patience
     */
    isSilent(patience: number): boolean;
    /** @param {Link["rows"]} rows */
    shows(rows: Link["rows"]): boolean;
    #private;
}
import type { Row } from "./connection.js";
import type { WebSocketClass } from "./connection.js";
import type { Token } from "./connection.js";
import type { ScoreUpdate } from "./connection.js";
import type { Epoch } from "./connection.js";
