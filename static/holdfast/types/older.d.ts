export type SessionState = import("./session-state.js").SessionState;
export type Rest = import("./network/rest.js").Rest;
/**
 * Load the messages before the earliest one here, unless that is under way.
 * @param {SessionState} state @param {Rest} rest @param {string} session id @param {number} [limit]
 * @returns {Promise<string[]>} ids of the new ones
 */
export declare function loadOlder(state: SessionState, rest: Rest, session: string, limit?: number): Promise<string[]>;
