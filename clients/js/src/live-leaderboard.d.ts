export class LiveLeaderboard extends HTMLElement {
    static observedAttributes: string[];
    /** @type {readonly (Row | null)[]} */ rows: readonly (Row | null)[];
    /** @type {State | null} */ state: State | null;
    /** @param {Partial<Labels>} labels */
    set labels(labels: Partial<Labels>);
    /** @returns {Labels} */
    get labels(): Labels;
    set token(token: TokenSource);
    /** The player's token or a function, as for `connectLeaderboard`; a property, as an attribute would show it. */
    get token(): TokenSource;
    /** Connect again at once, also after a refusal. */
    retry(): void;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} name */
    attributeChangedCallback(name: string): void;
    #private;
}
export type Labels = typeof LABELS;
import type { Row } from "./connection.js";
import type { State } from "./connection.js";
import type { TokenSource } from "./connection.js";
declare namespace LABELS {
    let rank: string;
    let player: string;
    let score: string;
    let empty: string;
    let connecting: string;
    let live: string;
    let disconnected: string;
    let refused: string;
    function leader(name: string): string;
}
export {};
