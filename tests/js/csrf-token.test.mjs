// The CSRF token: the cookie with the prefix first, then the one without.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { csrfToken } from "../../static/holdfast/network/csrf-token.js";

afterEach(() => {
  delete globalThis.document;
});

for (const [cookie, token] of [
  ["", ""],
  ["a=1; csrftoken=abc", "abc"],
  ["__Host-csrftoken=new; csrftoken=old", "new"],
  ["csrftoken=old; __Host-csrftoken=new", "new"],
  ["x__Host-csrftoken=1; xcsrftoken=2", ""],
]) {
  test(`the token of "${cookie}" is "${token}"`, () => {
    globalThis.document = { cookie };
    assert.equal(csrfToken(), token);
  });
}

test("without a page there is no token", () => assert.equal(csrfToken(), ""));
