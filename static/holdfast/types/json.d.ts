/**
 * Parse JSON; an integer that a number can't hold exactly becomes a string of its digits.
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError}
 */
export declare function parseJson(text: string): any;
