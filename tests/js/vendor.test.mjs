// The vendored modules are what VENDOR.md says, byte for byte.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const VENDOR = new URL("../../static/holdfast/vendor/", import.meta.url);
const MODULES = new URL("../node_modules/", import.meta.url);
const ROW = /^\| `(\S+)` \| (\S+) \| (\S+) \| `(\S+)` \| .* \| `([0-9a-f]{64})` \|$/gm;

const listed = [...readFileSync(new URL("VENDOR.md", VENDOR), "utf8").matchAll(ROW)].map(
  ([, file, name, version, source, digest]) => ({ file, name, version, source, digest }),
);

test("every vendored module is listed, with its licence beside it", () => {
  const modules = readdirSync(VENDOR).filter((file) => file.endsWith(".mjs"));
  assert.deepEqual(listed.map(({ file }) => file).sort(), modules.sort());
  for (const { name } of listed) assert.ok(existsSync(new URL(`${name}.LICENSE.txt`, VENDOR)), name);
});

for (const { file, name, version, source, digest } of listed) {
  const copy = readFileSync(new URL(file, VENDOR));
  const installed = existsSync(new URL(`${name}/`, MODULES));

  test(`${file} has the digest that is listed`, () => {
    assert.equal(createHash("sha256").update(copy).digest("hex"), digest);
  });

  test(`${file} is ${source} of ${name} ${version}`, { skip: !installed && `${name} isn't installed` }, () => {
    assert.equal(JSON.parse(readFileSync(new URL(`${name}/package.json`, MODULES), "utf8")).version, version);
    assert.ok(copy.equals(readFileSync(new URL(`${name}/${source}`, MODULES))));
  });
}
