export type TransportName = import("./transport-choice.js").TransportName;
export type Transport = import("./network/socket.js").Transport;
export type Frame = import("./protocol.js").Frame;
export declare class TransportManager {
    #private;
    /** A transport is connected, and in use from now on. @type {(frame: Frame, bytes: number) => void} */
    onopen: (frame: Frame, bytes: number) => void;
    /** @type {(frame: Frame, bytes: number) => void} */
    onframe: (frame: Frame, bytes: number) => void;
    /** Every transport is lost, or could not be opened. @type {(code: number, generation: number) => void} */
    onclose: (code: number, generation: number) => void;
    /** `status.transportReason` has changed. @type {() => void} */
    onchange: () => void;
    /**
     * @param {object} options
     * @param {Partial<Record<TransportName, () => Transport>>} options.transports factories, best first
     * @param {import("./timers.js").Clock} options.clock
     * @param {Storage|null} options.storage remembers the transport that worked
     */
    constructor({ transports, clock, storage }: {
        transports: Partial<Record<TransportName, () => Transport>>;
        clock: import("./timers.js").Clock;
        storage: Storage | null;
    });
    /** Transport in use, reason why no better one is, and start of use (ms); null where there is none. */
    get status(): {
        transport: import("./transport-choice.js").TransportName | null;
        transportReason: import("./transport-choice.js").Why | null;
        transportSince: number | null;
    };
    /** @param {number} generation passed back with `onclose` */
    open(generation: number): void;
    /** @param {Frame} frame @returns {boolean} false when it is lost */
    send(frame: Frame): boolean;
    /** Close the transport in use; `onclose` follows. */
    close(): void;
    /** The transport in use went silent: drop idle connections, which may be dead too. */
    flush(): void;
    /** @param {boolean} background whether the page is hidden */
    setBackground(background: boolean): void;
    /** Try better transports again: the network may have changed. */
    networkChanged(): void;
    /** Prepare a replacement: the transport in use may be dead. */
    doubt(): void;
}
