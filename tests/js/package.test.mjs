// The npm package holdfast-client, as `npm pack` makes it: complete, typed, small, tree-shaken, importable in Node.

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
const TYPES = join(CLIENT, "types");
const TSCONFIG = path("../tsconfig.json");
const MODULES = path("../node_modules/");
const TSC = join(MODULES, ".bin/tsc");
const BUDGET_BYTES = 14_000; // of what importing the client loads at once, minified and gzipped
const NOT_PUBLISHED = /^(page|vendor|admin|icons)\//;

const missing = ["typescript", "esbuild", "ai", "react", "@assistant-ui/react"].find((name) => !fs.existsSync(join(MODULES, name)));
const skip = missing && process.env.CI !== "true" && `${missing} isn't installed`;
const manifest = JSON.parse(fs.readFileSync(join(CLIENT, "package.json"), "utf8"));

// A consumer project, with the tarball installed.
const project = fs.mkdtempSync(join(tmpdir(), "holdfast-package-"));
after(() => fs.rmSync(project, { recursive: true }));
const [{ filename, files }] = JSON.parse(npm(CLIENT, "pack", "--json", "--pack-destination", project));
fs.writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
npm(project, "install", "--offline", "--no-audit", "--no-fund", `./${filename}`);
for (const name of ["ai", "react", "@types", "@ai-sdk", "@assistant-ui"]) {
  fs.symlinkSync(join(MODULES, name), join(project, "node_modules", name));
}

function npm(cwd, ...options) {
  return execFileSync("npm", [...options, "--silent"], { cwd, encoding: "utf8" });
}

function tsc(...options) {
  const { status, stdout } = spawnSync(TSC, options, { encoding: "utf8", cwd: project });
  return { status, stdout };
}

// What is loaded when it is needed becomes a file of its own.
const apart = {
  name: "apart",
  setup(build) {
    build.onResolve({ filter: /^\./ }, ({ kind, path }) => (kind === "dynamic-import" ? { path, external: true } : null));
  },
};

/** @param {string} code of a module of the project @returns {Promise<Uint8Array>} it and what it imports, minified */
async function bundle(code) {
  const { build } = await import("esbuild");
  const stdin = { contents: code, resolveDir: project };
  const options = { bundle: true, minify: true, format: "esm", write: false, logLevel: "error", plugins: [apart] };
  const { outputFiles } = await build({ stdin, ...options });
  return outputFiles[0].contents;
}

function filesBelow(directory) {
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return names.map((name) => name.slice(join(directory, "/").length)).sort();
}

test("tsc --checkJs --strict accepts every module", { skip }, () => {
  assert.deepEqual(tsc("-p", TSCONFIG), { status: 0, stdout: "" });
});

test("the declarations match the modules: `make declarations` writes them", { skip }, () => {
  const fresh = join(project, "types");
  tsc("-p", TSCONFIG, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", fresh);
  assert.deepEqual(filesBelow(TYPES), filesBelow(fresh));
  for (const name of filesBelow(fresh)) {
    assert.equal(fs.readFileSync(join(TYPES, name), "utf8"), fs.readFileSync(join(fresh, name), "utf8"), name);
  }
});

test("npm may publish the package under its license", () => {
  assert.equal(manifest.private, undefined);
  assert.equal(manifest.license, "BSD-3-Clause");
});

test("the tarball has every module and its types, README and license, and none of the page's files", () => {
  const published = filesBelow(CLIENT).filter((name) => !NOT_PUBLISHED.test(name));
  assert.deepEqual(files.map((file) => file.path).sort(), published);
  assert.ok(published.includes("LICENSE"));
  const exported = Object.values(manifest.exports).flatMap((target) => (target.types ? Object.values(target) : target));
  for (const target of [...exported, manifest.types]) assert.ok(published.includes(target.replace("./", "")), target);
});

// As strict as a consumer can be; "skipLibCheck": false checks the declarations themselves.
const STRICT = {
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  noEmit: true,
  target: "es2022",
  lib: ["es2023", "dom", "dom.iterable"],
  types: [],
};
const PROGRAM = `
  import { Holdfast, type Message, type UnsentMessage } from "holdfast-client";
  import { HoldfastStatus } from "holdfast-client/status-element";
  const holdfast = new Holdfast({ url: "/ws/", api: "/api/" });
  holdfast.addEventListener("connection", ({ detail }) => console.log(detail.state, detail.transportReason?.code));
  const element: HTMLElement & { holdfast: Holdfast | null } = new HoldfastStatus();
  element.holdfast = holdfast;
  const session = holdfast.session("id");
  session.addEventListener("change", ({ detail }) => detail.messages.has("m"));
  const textOf = ({ parts }: Message | UnsentMessage): string =>
    parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  export const shown: string[] = session.messages.map(textOf);
  session.send("Hello").then(({ serial }) => serial.toFixed());
  for (const { approval, descriptor } of session.approvals) if (descriptor.editable) session.approve(approval, { input: {} });
  const mine = session.signals.filter(({ actor }) => actor === holdfast.connection.actor);
  mine.map(({ payload }) => session.toolResult("m_1", "call", { output: payload }));`;

/** @param {string} program @param {object} options of the compiler @returns {string} its complaints */
function check(program, options) {
  fs.writeFileSync(join(project, "program.ts"), program);
  fs.writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["program.ts"] }));
  return tsc("-p", project).stdout;
}

const RESOLUTIONS = [
  { module: "esnext", moduleResolution: "bundler" },
  { module: "nodenext", moduleResolution: "nodenext" },
];

for (const resolution of RESOLUTIONS) {
  test(`the strictest TypeScript program can use it, by ${resolution.moduleResolution}`, { skip }, () => {
    assert.equal(check(PROGRAM, { ...STRICT, ...resolution }), "");
  });
}

test("TypeScript reports wrong arguments, events and parts", { skip }, () => {
  const wrong = `
    session.send(1);
    session.addEventListener("chnage", () => {});
    session.messages[0]?.parts.map((part) => part.type === "text" && part.url);`;
  const complaints = check(PROGRAM + wrong, { ...STRICT, ...RESOLUTIONS[0] });
  assert.match(complaints, /'number' is not assignable to .* 'string \| NewMessage'/);
  assert.match(complaints, /"chnage"/);
  assert.match(complaints, /Property 'url' does not exist/);
  assert.equal(complaints.match(/error TS/g).length, 3);
});

test("messages are the AI SDK's UIMessages", { skip }, () => {
  const program = `
    import { Holdfast, type Message, type Part } from "holdfast-client";
    import { isTextUIPart, type UIMessage } from "ai";
    const messages: UIMessage[] = new Holdfast().session("id").messages;
    const one = (message: Message): UIMessage => message;
    const part = (part: Part): UIMessage["parts"][number] => part;
    const back = (part: UIMessage["parts"][number]): Part["type"] => part.type;
    export const texts = messages.flatMap(({ parts }) => parts.filter(isTextUIPart).map(({ text }) => text));
    export { one, part, back };`;
  assert.equal(check(program, { ...STRICT, ...RESOLUTIONS[0], skipLibCheck: true }), "");
});

test("the hooks, the AI SDK's transport and assistant-ui's store have their vendors' types", { skip }, () => {
  const program = `
    import { createElement, type ReactElement } from "react";
    import { Chat } from "@ai-sdk/react";
    import type { ChatTransport, UIMessage } from "ai";
    import { useExternalStoreRuntime, type AssistantRuntime } from "@assistant-ui/react";
    import { Holdfast } from "holdfast-client";
    import { HoldfastChatTransport } from "holdfast-client/ai-sdk";
    import { useHoldfastThread } from "holdfast-client/assistant-ui";
    import { HoldfastProvider, useConnection, useSession, useSessions } from "holdfast-client/react";
    const holdfast = new Holdfast();
    const transport: ChatTransport<UIMessage> = new HoldfastChatTransport(holdfast, { session: (chat) => chat });
    export const chat = new Chat({ id: "session-0123456789abcd", transport });
    export function useThread(id: string): AssistantRuntime {
      return useExternalStoreRuntime(useHoldfastThread(id));
    }
    export function Conversation({ id }: { id: string | null }): ReactElement {
      const { messages, working, send, approvals } = useSession(id, { replaced: true });
      const { sessions, create } = useSessions();
      const shown: UIMessage[] = messages;
      create({ title: "New" }).then(({ id }) => id.length + sessions.length);
      send({ id: "an-id-of-my-own", parts: [{ type: "text", text: "Hello" }], metadata: { from: "me" } });
      return createElement("p", null, useConnection().state, String(working), shown.length, approvals.length);
    }
    export const app = createElement(HoldfastProvider, { holdfast }, createElement(Conversation, { id: null }));`;
  assert.equal(check(program, { ...STRICT, ...RESOLUTIONS[0], skipLibCheck: true }), "");
});

test("messages take the parts and the chunks of their program", { skip }, () => {
  const program = `
    import { Holdfast, type Chunk, type Message, type SessionSnapshot } from "holdfast-client";
    import { unfold } from "holdfast-client/unfold";
    type Mine = { type: "text"; text: string };
    export const textOf = ({ parts }: Message<Mine>): string => parts.map(({ text }) => text).join("");
    const session = new Holdfast().session("id");
    const snapshot: SessionSnapshot = session.snapshot();
    export const chunks: Chunk[] = unfold(snapshot.messages[0] as Message);
    for await (const { type } of session.chunks("m_1", { signal: AbortSignal.timeout(1) })) type.length;
    await session.loadOlder(10);`;
  assert.equal(check(program, { ...STRICT, ...RESOLUTIONS[0], module: "esnext" }), "");
});

test(`the client fits into ${BUDGET_BYTES} bytes, minified and gzipped`, { skip }, async (context) => {
  const bytes = gzipSync(await bundle('export * from "holdfast-client";'), { level: 9 }).length;
  context.diagnostic(`${bytes} of ${BUDGET_BYTES} bytes`);
  assert.ok(bytes <= BUDGET_BYTES, `it takes ${bytes} bytes`);
});

test("a bundler drops an unused import, and keeps the element, which is imported for its effect", { skip }, async () => {
  assert.equal((await bundle('import "holdfast-client";')).length, 0);
  assert.equal((await bundle('import { Holdfast, Session } from "holdfast-client";')).length, 0);
  const element = new TextDecoder().decode(await bundle('import "holdfast-client/status-element";'));
  assert.match(element, /define\("holdfast-status"/);
});

test("a bundler puts what is loaded when it is needed into files of their own", { skip }, async () => {
  const { build } = await import("esbuild");
  const stdin = { contents: 'export * from "holdfast-client";', resolveDir: project };
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", write: false, splitting: true, outdir: project });
  const [entry, ...others] = outputFiles.map(({ text }) => text);
  for (const sign of ["wait_ms", "createObjectStore", "X-CSRFToken"]) {
    assert.deepEqual([entry.includes(sign), others.some((text) => text.includes(sign))], [false, true], sign);
  }
});

test("Node imports the hooks and the transports without a window", { skip }, () => {
  const program = `
    const names = ["ai-sdk", "assistant-ui", "branches", "react", "unfold"];
    const all = await Promise.all(names.map((name) => import("holdfast-client/" + name)));
    console.log(all.map((module) => Object.keys(module).length > 0).join());`;
  fs.writeFileSync(join(project, "program.mjs"), program);
  const { stdout, stderr } = spawnSync(process.execPath, ["program.mjs"], { cwd: project, encoding: "utf8", timeout: 30_000 });
  assert.deepEqual([stdout, stderr], ["true,true,true,true,true\n", ""]);
});

test("Node imports it without a window, and renders on a server", () => {
  const program = `
    import { Holdfast } from "holdfast-client";
    import { HoldfastStatus } from "holdfast-client/status-element";
    const holdfast = new Holdfast({ url: "wss://chat.example/ws/", api: "https://chat.example/api/" });
    console.log(holdfast.connection.state, holdfast.session("id").messages.length, typeof HoldfastStatus);`;
  fs.writeFileSync(join(project, "program.mjs"), program);
  const { stdout, stderr } = spawnSync(process.execPath, ["program.mjs"], { cwd: project, encoding: "utf8", timeout: 30_000 });
  assert.deepEqual([stdout, stderr], ["initialized 0 function\n", ""]);
});
