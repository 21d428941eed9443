/** Announces facts that changed since their last announcement; the first value of a fact is not announced. */
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
