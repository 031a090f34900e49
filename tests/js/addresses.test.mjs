// Addresses below the prefix where a project includes Holdfast.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Addresses } from "../../static/holdfast/page/addresses.js";

for (const base of ["/", "/chat/", "/a.b/chat/"]) {
  const addresses = new Addresses(base);

  test(`${base}: a conversation and its path lead to each other`, () => {
    assert.equal(addresses.pathOf("Ab_9-xyz"), `${base}s/Ab_9-xyz/`);
    assert.equal(addresses.sessionIdOf(addresses.pathOf("Ab_9-xyz")), "Ab_9-xyz");
    assert.equal(addresses.pathOf(null), base);
    assert.equal(addresses.sessionIdOf(addresses.pathOf(null)), null);
  });

  test(`${base}: other paths name no conversation`, () => {
    for (const path of ["s//", "s/a/b/", "s/a%2Fb/", "login/", "s/a", "s/s/a/"]) {
      assert.equal(addresses.sessionIdOf(base + path), null, path);
    }
  });

  test(`${base}: every address of the server is below it`, () => {
    const { api, webSocket, restart } = addresses;
    assert.deepEqual([api, webSocket, restart], [`${base}api/`, `${base}ws/`, `${base}lab/restart/`]);
  });
}

test("paths outside the prefix name no conversation", () => {
  const addresses = new Addresses("/chat/");
  for (const path of ["/s/a/", "/chat", "/chats/a/", "/other/chat/s/a/", "/axb/chat/s/a/"]) {
    assert.equal(addresses.sessionIdOf(path), null, path);
  }
});
