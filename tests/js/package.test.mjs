// The client as a package: what its package.json promises is there, typed, small, and importable by a bundler.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const CLIENT = path("../../static/holdfast/");
const TYPES = path("../../static/holdfast/types/");
const TSCONFIG = path("../tsconfig.json");
const MODULES = path("../node_modules/");
const TSC = join(MODULES, ".bin/tsc");
const BUDGET_BYTES = 14_150; // of the whole client without the element, minified and gzipped

const missing = ["typescript", "esbuild"].find((name) => !fs.existsSync(join(MODULES, name)));
const skip = missing && process.env.CI !== "true" && `${missing} isn't installed`;
const manifest = JSON.parse(fs.readFileSync(join(CLIENT, "package.json"), "utf8"));

/** A project that has the package installed. */
const project = fs.mkdtempSync(join(tmpdir(), "holdfast-package-"));
after(() => fs.rmSync(project, { recursive: true }));
fs.mkdirSync(join(project, "node_modules"));
fs.symlinkSync(CLIENT, join(project, "node_modules", manifest.name));

function tsc(...options) {
  const { status, stdout } = spawnSync(TSC, options, { encoding: "utf8", cwd: project });
  return { status, stdout };
}

/** @param {string} code of a module of the project @returns {Promise<Uint8Array>} it and what it imports, minified */
async function bundle(code) {
  const { build } = await import("esbuild");
  const stdin = { contents: code, resolveDir: project };
  const options = { bundle: true, minify: true, format: "esm", write: false, logLevel: "error" };
  const { outputFiles } = await build({ stdin, ...options });
  return outputFiles[0].contents;
}

function filesBelow(directory) {
  return fs.readdirSync(directory, { recursive: true }).filter((name) => /\.\w+$/.test(name)).sort();
}

test("tsc --checkJs --strict accepts every module", { skip }, () => {
  assert.deepEqual(tsc("-p", TSCONFIG), { status: 0, stdout: "" });
});

test("the declarations are those of the modules as they are: `make declarations` writes them", { skip }, () => {
  const fresh = join(project, "types");
  tsc("-p", TSCONFIG, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", fresh);
  assert.deepEqual(filesBelow(TYPES), filesBelow(fresh));
  for (const name of filesBelow(fresh)) {
    assert.equal(fs.readFileSync(join(TYPES, name), "utf8"), fs.readFileSync(join(fresh, name), "utf8"), name);
  }
});

test("every file that it exports is there", () => {
  const exported = Object.values(manifest.exports).flatMap((target) => (target.types ? Object.values(target) : target));
  assert.equal(exported.length, 5);
  for (const target of exported) assert.ok(fs.existsSync(join(CLIENT, target)), target);
});

test("what npm would publish has all modules and their types, and nothing else", { skip }, () => {
  const printed = execFileSync("npm", ["pack", "--dry-run", "--json", "--silent"], { cwd: CLIENT, encoding: "utf8" });
  const [{ files }] = JSON.parse(printed);
  assert.deepEqual(files.map((file) => file.path).sort(), filesBelow(CLIENT));
});

test("a strict TypeScript program can use it, and is told what is wrong", { skip }, () => {
  const program = (line) => `
    import { Holdfast, type Message, type UnsentMessage } from "holdfast-client";
    const holdfast = new Holdfast({ url: "/ws/", api: "/api/" });
    holdfast.addEventListener("connection", ({ detail }) => console.log(detail.state, detail.transportReason?.code));
    const session = holdfast.session("id");
    session.addEventListener("change", ({ detail }) => detail.messages.has("m"));
    const texts = (message: Message | UnsentMessage): string[] => message.parts.map(({ text }) => text);
    const shown: string[][] = session.messages.map(texts);
    session.send("Hello").then(({ serial }) => serial.toFixed());
    for (const { approval, descriptor } of session.approvals) if (descriptor.editable) session.approve(approval, { input: {} });
    const mine = session.signals.filter(({ actor }) => actor === holdfast.connection.actor);
    mine.map(({ payload }) => session.toolResult("m_1", "call", { output: payload }));
    ${line}
    export { shown };`;
  const check = (line, ...options) => {
    fs.writeFileSync(join(project, "program.ts"), program(line));
    return tsc("--strict", "--noEmit", "--target", "es2023", "--types", "", ...options, "program.ts").stdout;
  };
  assert.equal(check("", "--module", "esnext", "--moduleResolution", "bundler"), "");
  assert.equal(check("", "--module", "nodenext"), "");
  assert.match(check("session.send(1);", "--module", "nodenext"), /'number' is not assignable to .* 'string'/);
  assert.match(check('session.addEventListener("chnage", () => {});', "--module", "nodenext"), /"chnage"/);
});

test(`the client fits into ${BUDGET_BYTES} bytes, minified and gzipped`, { skip }, async (context) => {
  const bytes = gzipSync(await bundle('export * from "holdfast-client";'), { level: 9 }).length;
  context.diagnostic(`${bytes} of ${BUDGET_BYTES} bytes`);
  assert.ok(bytes <= BUDGET_BYTES, `it takes ${bytes} bytes`);
});

test("a bundler drops what isn't used, and keeps the element that is imported for its effect", { skip }, async () => {
  assert.equal((await bundle('import "holdfast-client";')).length, 0);
  const element = new TextDecoder().decode(await bundle('import "holdfast-client/status-element";'));
  assert.match(element, /customElements\.define\("holdfast-status"/);
});
