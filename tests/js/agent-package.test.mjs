// The npm package holdfast-agent, as `npm pack` makes it: complete, typed, importable.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const PACKAGE = path("../../agents_app/node/");
const MODULES = path("../node_modules/");
const missing = ["typescript", "ai"].find((name) => !fs.existsSync(join(MODULES, name)));
const skip = missing && process.env.CI !== "true" && `${missing} isn't installed`;
const manifest = JSON.parse(fs.readFileSync(join(PACKAGE, "package.json"), "utf8"));

// A consumer project, with the tarball unpacked as npm does.
const project = fs.mkdtempSync(join(tmpdir(), "holdfast-agent-"));
after(() => fs.rmSync(project, { recursive: true }));
const packed = execFileSync("npm", ["pack", "--json", "--silent", "--pack-destination", project], { cwd: PACKAGE, encoding: "utf8" });
const [{ filename, files }] = JSON.parse(packed);
fs.mkdirSync(join(project, "node_modules/holdfast-agent"), { recursive: true });
execFileSync("tar", ["xzf", filename, "--strip-components=1", "-C", "node_modules/holdfast-agent"], { cwd: project });
fs.writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
if (!missing) for (const name of ["ai", "@ai-sdk"]) fs.symlinkSync(join(MODULES, name), join(project, "node_modules", name));

const STRICT = {
  strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, verbatimModuleSyntax: true, noEmit: true,
  target: "es2023", module: "nodenext", moduleResolution: "nodenext", lib: ["es2023", "dom", "dom.iterable"], types: [],
};

/** @param {string[]} names of the project's files @param {object} [more] options of the compiler @returns {string} its complaints */
function check(names, more) {
  fs.writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...STRICT, ...more }, files: names }));
  return spawnSync(join(MODULES, ".bin/tsc"), ["-p", project], { encoding: "utf8", cwd: project }).stdout;
}

const PROGRAM = `
  import { AgentFailed, HoldfastError, ToolFailed, Worker, type Decision, type Message, type Turn } from "holdfast-agent";

  async function agent(turn: Turn): Promise<void> {
    const earlier: Message[] = turn.history;
    await turn.text(\`\${earlier.length} \${turn.prompt}\`);
    await turn.data("weather", { sunny: true }, { id: "today" });
    await turn.write({ type: "source-url", sourceId: "1", url: "https://example.com" });
    turn.finishReason = "length";
    turn.usage({ inputTokens: 1, outputTokens: undefined });
    const call = await turn.tool("lend", { book: "Middlemarch" }, { title: "Lending" });
    const decision: Decision = await call.approval({ reason: "It is lent", expiresMs: null, editable: true });
    if (!decision.approved) throw new AgentFailed(decision.reason);
    const lent: string = await call.execute(async ({ book }, signal) => (signal.aborted ? "" : String(book)));
    const steers: string[] = await turn.step();
    await turn.metadata({ lent, steers, signal: turn.signal.aborted });
  }

  export const worker = new Worker({ url: "https://chat.example", token: async () => "…", name: "librarian-1", most: 3 });
  worker.agent("librarian", agent).run().catch((problem: unknown) => problem instanceof HoldfastError && problem.code.length);
  export const failed = new ToolFailed("no");`;

test("the tarball has every module, the types, README and license, and nothing else", () => {
  const modules = fs.readdirSync(PACKAGE).filter((name) => name.endsWith(".js"));
  const published = [...modules, "LICENSE", "README.md", "index.d.ts", "package.json"].sort();
  assert.deepEqual(files.map((file) => file.path).sort(), published);
});

test("npm may publish it, for Node 20 and later, without dependencies", () => {
  assert.deepEqual([manifest.private, manifest.dependencies, manifest.license], [undefined, undefined, "BSD-3-Clause"]);
  assert.deepEqual([manifest.type, manifest.engines.node, manifest.types], ["module", ">=20", "./index.d.ts"]);
});

test("a program imports it by its name, and only from its index", () => {
  const program = `
    const names = Object.keys(await import("holdfast-agent")).join();
    console.log(names, (await import("holdfast-agent/site.js").catch((problem) => problem)).code);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { cwd: project, encoding: "utf8" });
  assert.deepEqual([stdout, stderr], ["AgentFailed,HoldfastError,ToolFailed,Worker ERR_PACKAGE_PATH_NOT_EXPORTED\n", ""]);
});

test("the strictest TypeScript program can use it, and wrong uses are reported", { skip }, () => {
  const wrong = `
    import { Worker } from "holdfast-agent";
    new Worker({ url: "https://chat.example", token: "…" });
    worker.agent("librarian", async (turn) => {
      await turn.text(1);
      turn.finishReason = "tired";
      turn.approve();
    });
    declare const worker: Worker;`;
  fs.writeFileSync(join(project, "right.ts"), PROGRAM);
  fs.writeFileSync(join(project, "wrong.ts"), wrong);
  const complaints = check(["right.ts", "wrong.ts"], { skipLibCheck: false });
  assert.match(complaints, /wrong\.ts\(3,\d+\).*'name' is missing/);
  assert.match(complaints, /wrong\.ts\(5,\d+\).*'number' is not assignable to .*'string'/);
  assert.match(complaints, /wrong\.ts\(6,\d+\).*"tired"/);
  assert.match(complaints, /wrong\.ts\(7,\d+\).*'approve' does not exist/);
  assert.equal(complaints.match(/error TS/g).length, 4, complaints);
});

test("the AI SDK's tools and streams fit", { skip }, () => {
  const program = `
    import { isStepCount, jsonSchema, streamText, tool, type LanguageModel } from "ai";
    import type { Turn } from "holdfast-agent";
    export async function agent(turn: Turn, model: LanguageModel): Promise<void> {
      const inputSchema = jsonSchema<{ book: string }>({ type: "object", properties: { book: { type: "string" } } });
      const lend = tool({ inputSchema, execute: async ({ book }) => \`\${book} is lent\` });
      const { prompt, signal: abortSignal } = turn;
      const tools = turn.tools({ lend }, { lend: { reason: "Lends a book", editable: true } });
      const onEnd = ({ totalUsage }: { totalUsage: { inputTokens: number | undefined } }): void => turn.usage(totalUsage);
      await turn.stream(streamText({ model, prompt, abortSignal, tools, stopWhen: isStepCount(3), onEnd }).toUIMessageStream());
    }`;
  fs.writeFileSync(join(project, "sdk.ts"), program);
  assert.equal(check(["sdk.ts"], { skipLibCheck: true }), "");
});

test("the modules are typed, and as the declarations say", { skip }, () => {
  const program = `
    import { Worker } from "${join(PACKAGE, "index.js")}";
    import type { Worker as Declared, Turn } from "holdfast-agent";
    import type { Turn as Written } from "${join(PACKAGE, "turn.js")}";
    export const worker: Declared = new Worker({ url: "https://chat.example", token: "…", name: "librarian-1" });
    export const turn = (written: Written): Omit<Turn, "finishReason"> => written;`;
  fs.writeFileSync(join(project, "same.ts"), program);
  const options = { allowJs: true, checkJs: true, lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"], exactOptionalPropertyTypes: false };
  assert.equal(check(["same.ts", path("support/node.d.ts")], { ...options, noUncheckedIndexedAccess: false, skipLibCheck: true }), "");
});
