// Retry delays: the first retry at once, then capped exponential backoff with full jitter.

export const BASE_MS = 500;
// Longest delay: a server that is back is found within it, and its clients are spread over it.
export const CAP_MS = 15_000;

/**
 * @param {number} attempt retries already made
 * @param {number} random from 0 to 1
 * @returns {number} milliseconds
 */
export function backoffDelay(attempt, random) {
  if (attempt === 0) return 0;
  return Math.round(random * Math.min(CAP_MS, BASE_MS * 2 ** (attempt - 1)));
}
