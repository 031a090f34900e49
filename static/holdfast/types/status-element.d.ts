export type Holdfast = import("./client.js").Holdfast;
export type Action = import("./connection-words.js").Action;
declare const Base: typeof HTMLElement;
/**
 * Give it the connection: `document.querySelector("holdfast-status").holdfast = holdfast`.
 *
 * Events: `change` when `online` does; `sign-in` when a person wants to, which reloads the page unless it is prevented.
 * Parts: indicator, dot, word, details; notice, message, countdown, action. The indicator and the notice are also
 * parts by their tone: good, waiting, offline, bad; or, of the notice, empty. Custom properties: `--holdfast-good`,
 * `-waiting`, `-offline`, `-bad`, `-accent`, `-hover`, `-line`, `-surface`, `-text`.
 */
export declare class HoldfastStatus extends Base {
    #private;
    /** Whether the connection is good, as far as a person is told: a blip changes nothing. */
    online: boolean;
    constructor();
    connectedCallback(): void;
    disconnectedCallback(): void;
    get holdfast(): import("./client.js").Holdfast | null;
    set holdfast(holdfast: import("./client.js").Holdfast | null);
    /** Say something for a few seconds, in place of nothing. @param {string} note */
    say(note: string): void;
}
export {};
