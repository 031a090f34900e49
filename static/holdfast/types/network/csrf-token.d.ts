/** @returns {string} the token, or "" without a page or a cookie */
export declare function csrfToken(): string;
