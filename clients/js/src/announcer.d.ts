/** Announces facts that changed since they were last spoken of; what a fact is at first is no news. */
export class Announcer {
    /** @param {HTMLElement} region a polite live region */
    constructor(region: HTMLElement);
    /**
     * @param {string} fact
     * @param {string} value what makes it another one
     * @param {string} sentence
     */
    tell(fact: string, value: string, sentence: string): void;
    #private;
}
