export type TransportName = import("../transport-choice.js").TransportName;
/** @typedef {import("../transport-choice.js").TransportName} TransportName */
/**
 * Return the factories of the transports that there are, best first.
 * @param {Omit<import("./http.js").HttpOptions, "fetch"|"holder"> & {url: string,
 *   WebSocket: typeof globalThis.WebSocket|null, fetch: typeof globalThis.fetch|null}} options
 */
export declare function transportsOf({ url, WebSocket, fetch, ...options }: Omit<import("./http.js").HttpOptions, "fetch" | "holder"> & {
    url: string;
    WebSocket: typeof globalThis.WebSocket | null;
    fetch: typeof globalThis.fetch | null;
}): Partial<Record<import("../transport-choice.js").TransportName, () => import("./socket.js").Transport>>;
