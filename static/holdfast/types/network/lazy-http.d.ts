export type Transport = import("./socket.js").Transport;
/** @typedef {import("./socket.js").Transport} Transport */
/** An HTTP transport whose code is loaded when it is opened. @implements {Transport} */
export declare class LazyHttpTransport implements Transport {
    #private;
    name: "poll" | "stream";
    /** @type {Transport["onframe"]} */
    onframe: Transport["onframe"];
    /** @type {Transport["onclose"]} */
    onclose: Transport["onclose"];
    /** @param {"stream"|"poll"} name @param {import("./http.js").HttpOptions} options */
    constructor(name: "stream" | "poll", options: import("./http.js").HttpOptions);
    open(): Promise<void>;
    /** @param {import("../protocol.js").Frame} frame */
    send(frame: import("../protocol.js").Frame): boolean;
    close(): void;
    /** @param {boolean} background */
    setBackground(background: boolean): void;
    flush(): void;
}
/** Load the code of the HTTP transports. A later call tries again what has failed. */
export declare function loadHttp(): Promise<typeof import("./http.js")>;
