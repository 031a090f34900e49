// What holdfast-agent uses of Node: enough to check its types without Node's own.
declare module "node:crypto" {
  export function randomBytes(size: number): { toString(encoding: "base64url"): string };
}
declare module "node:timers/promises" {
  export function setTimeout(ms: number, value?: undefined, options?: { signal?: AbortSignal; ref?: boolean }): Promise<void>;
}
declare namespace NodeJS {
  type Timeout = any; // a number to the DOM
}
declare const Buffer: {
  byteLength(text: string): number;
  from(text: string, encoding: "base64url"): { toString(): string };
};
declare const process: {
  on(name: string, listener: () => void): typeof process;
  off(name: string, listener: () => void): typeof process;
};
declare function setTimeout(callback: () => void, ms: number): { unref(): void };
declare function clearTimeout(timer: { unref(): void } | undefined): void;
