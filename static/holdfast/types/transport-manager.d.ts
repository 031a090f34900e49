export type TransportName = import("./transport-choice.js").TransportName;
export type Transport = import("./network/socket.js").Transport;
export type Frame = import("./protocol.js").Frame;
export declare class TransportManager {
    #private;
    /** A transport was greeted, and carries the frames from now on. @type {(frame: Frame, bytes: number) => void} */
    onopen: (frame: Frame, bytes: number) => void;
    /** @type {(frame: Frame, bytes: number) => void} */
    onframe: (frame: Frame, bytes: number) => void;
    /** All are lost, or could not be opened. @type {(code: number, generation: number) => void} */
    onclose: (code: number, generation: number) => void;
    /** The reason has changed. @type {() => void} */
    onchange: () => void;
    /**
     * @param {object} options
     * @param {Partial<Record<TransportName, () => Transport>>} options.transports how to make each, the best first
     * @param {import("./timers.js").Clock} options.clock
     * @param {Storage|null} options.storage remembers what worked
     */
    constructor({ transports, clock, storage }: {
        transports: Partial<Record<TransportName, () => Transport>>;
        clock: import("./timers.js").Clock;
        storage: Storage | null;
    });
    /** What carries the frames, why nothing better does, and since when, ms; null for what isn't so. */
    get status(): {
        transport: import("./transport-choice.js").TransportName | null;
        transportReason: import("./transport-choice.js").Why | null;
        transportSince: number | null;
    };
    /** @param {number} generation goes back with `onclose` */
    open(generation: number): void;
    /** @param {Frame} frame @returns {boolean} false when it is lost */
    send(frame: Frame): boolean;
    /** Says `onclose` when it is done. */
    close(): void;
    /** What is used has died in silence, and may have left more behind that is dead. */
    flush(): void;
    /** @param {boolean} background whether nobody sees the page */
    setBackground(background: boolean): void;
    /** Something better may work now. */
    networkChanged(): void;
    /** What is used may be dead: have another one ready. */
    doubt(): void;
}
