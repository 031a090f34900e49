/** @template Result @param {() => Result} action @returns {Result|null} null when it throws */
export declare function attempt<Result>(action: () => Result): Result | null;
