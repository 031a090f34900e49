// The wire format, and the client's table of errors against the server's.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import {
  byteLength,
  endsConnection,
  errorOfClose,
  parseCursor,
  parseFrame,
  wellFormed,
} from "../../static/holdfast/protocol.js";

const TABLE = JSON.parse(readFileSync(new URL("../fixtures/errors.json", import.meta.url), "utf8"));

test("the client has every error that closes a connection, as the server has it", () => {
  for (const [code, { close_code, retryable }] of Object.entries(TABLE)) {
    assert.equal(endsConnection(code), close_code !== null, code);
    if (close_code !== null) assert.equal(errorOfClose(close_code).retryable, retryable, code);
  }
});

test("errors handled by name exist on the server", () => {
  for (const code of ["not_attached", "bad_cursor"]) assert.equal(TABLE[code].close_code, null);
});

test("a close code without an error frame still says what it means", () => {
  const message = "Closed by the server: signed out";
  assert.deepEqual(errorOfClose(4401), { code: "signed_out", message, retryable: false });
  assert.equal(errorOfClose(4429).code, "rate_limited");
  assert.equal(errorOfClose(1006), undefined);
});

test("a cursor is read from its end, since an epoch may have dashes", () => {
  assert.deepEqual(parseCursor("a-b-42"), { epoch: "a-b", serial: 42 });
});

test("a text that is not a frame is null", () => {
  for (const text of ["", "{", "null", "7", '"x"', "[]", "{}", '{"type":7}']) assert.equal(parseFrame(text), null);
  assert.deepEqual(parseFrame('{"type":"ping"}'), { type: "ping" });
});

test("bytes are those of UTF-8", () => {
  assert.deepEqual(["a", "ä", "字", "😀"].map(byteLength), [1, 2, 3, 4]);
});

test("only halves of surrogate pairs are replaced", () => {
  assert.equal(wellFormed("\udc00 😀 \ud83d"), "\ufffd 😀 \ufffd");
});
