/** @template Result @param {() => Result} action @returns {Result|null} null when it throws */
export declare function orNull<Result>(action: () => Result): Result | null;
