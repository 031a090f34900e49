// Addresses and the conversations that they name.
import assert from "node:assert/strict";
import { test } from "node:test";

import { pathOf, sessionIdOf } from "../../static/holdfast/page/router.js";

test("an address and its conversation lead to each other", () => {
  assert.equal(sessionIdOf(pathOf("Ab_9-xyz")), "Ab_9-xyz");
  assert.equal(sessionIdOf(pathOf(null)), null);
});

test("what isn't a conversation's address names none", () => {
  for (const path of ["/s//", "/s/a/b/", "/s/a%2Fb/", "/login/", "/s/a"]) assert.equal(sessionIdOf(path), null, path);
});
