export type Holdfast = import("./client.js").Holdfast;
export type Action = import("./connection-words.js").Action;
declare const Base: typeof HTMLElement;
/**
 * Element of the connection status. Set its client: `document.querySelector("holdfast-status").holdfast = holdfast`.
 *
 * Events: `change` when `online` changes; `sign-in` when the user asks to, which reloads the page unless prevented.
 * Parts: indicator, dot, word, details; notice, message, countdown, action. The indicator and the notice also have a
 * part named by tone: good, waiting, offline, bad, or (notice only) empty. Custom properties: `--holdfast-good`,
 * `-waiting`, `-offline`, `-bad`, `-accent`, `-hover`, `-line`, `-surface`, `-text`.
 */
export declare class HoldfastStatus extends Base {
    #private;
    /** Whether the connection is shown as good; short interruptions do not count. */
    online: boolean;
    constructor();
    connectedCallback(): void;
    disconnectedCallback(): void;
    get holdfast(): import("./client.js").Holdfast | null;
    set holdfast(holdfast: import("./client.js").Holdfast | null);
    /** Show a note for a few seconds, when there is no notice. @param {string} note */
    say(note: string): void;
}
export {};
