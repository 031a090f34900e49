export type Reason = {
    code: string;
    message: string;
};
/**
 * Return a reason, or in place of `signed_out` that cookies are blocked, if they are. With a token it is never `signed_out`.
 * @template {{code?: string, message?: string}|null} Any
 * @param {Any} reason
 * @param {Window & typeof globalThis} page
 * @returns {Any|Reason}
 */
export declare function seeCookies<Any extends {
    code?: string;
    message?: string;
} | null>(reason: Any, page: Window & typeof globalThis): Any | Reason;
