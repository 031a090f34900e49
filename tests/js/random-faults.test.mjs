// Random faults by seed: once the network heals, every page has the server's state.

import assert from "node:assert/strict";
import test from "node:test";
import { seeded } from "./support/random.mjs";
import { FINISH, SESSION, delta, openPage, plain, world } from "./support/world.mjs";

const SEEDS = 80;
const STEPS = 120;
const HEALED_MS = 120_000;

for (let seed = 1; seed <= SEEDS; seed += 1) {
  test(`seed ${seed}: pages show the server's state, and no signal counts twice`, async () => {
    const chance = seeded(seed);
    const run = new Run(chance);
    for (let step = 0; step < STEPS; step += 1) {
      pick(chance, run.actions).call(run);
      await run.clock.pass(chance() ** 3 * 4_000);
    }
    await run.heal();
    run.check();
  });
}

function pick(chance, weighted) {
  const all = weighted.flatMap(([weight, action]) => Array(weight).fill(action));
  return all[Math.floor(chance() * all.length)];
}

class Run {
  actions = [
    [12, this.token],
    [4, this.beginAnswer],
    [3, this.endAnswer],
    [2, this.resetStep],
    [5, this.say],
    [2, this.steer],
    [2, this.stop],
    [3, this.cut],
    [3, this.regenerate],
    [2, this.freeze],
    [2, this.refuse],
    [2, this.hang],
    [3, this.block],
    [4, this.comeUp],
    [3, this.loseFrames],
    [3, this.keepFrames],
    [1, this.repeat],
    [1, this.changeEpoch],
    [1, this.restoreBackup],
    [1, this.trim],
    [1, this.goAway],
    [1, this.reload],
    [1, this.secondTab],
    [1, this.setTabsApart],
    [1, this.wake],
    [1, this.sleep],
    [1, this.rejectForNow],
  ];

  sent = [];
  #said = 0;
  #stops = 0;
  #answers = 0;
  #open = [];
  #restored = false;

  constructor(chance) {
    this.chance = chance;
    Object.assign(this, world({ random: chance, latency: () => 1 + chance() * 80 }));
    this.network.allowHttp();
    this.pages = [];
    this.open(openPage(this));
  }

  open(page) {
    page.holdfast.connect();
    this.pages.push({ ...page, session: page.holdfast.session(SESSION, { replaced: this.chance() < 0.5 }) });
  }

  get one() {
    return this.pages[Math.floor(this.chance() * this.pages.length)];
  }

  // --- The agent ---

  beginAnswer() {
    const id = `m_${(this.#answers += 1)}`;
    this.#open.push(id);
    const reasoning = [{ type: "reasoning-start", id: "r" }, { type: "reasoning-delta", id: "r", delta: "hm" }];
    const text = { type: "text-start", id: "t1" };
    this.server.publish(SESSION, id, { type: "start", messageId: id }, { type: "start-step" }, ...reasoning, text);
  }

  token() {
    const id = this.#open[Math.floor(this.chance() * this.#open.length)];
    if (id) this.server.publish(SESSION, id, delta(`${Math.floor(this.chance() * 1e6)} 字 `.repeat(1 + this.chance() * 40)));
  }

  endAnswer() {
    const id = this.#open.pop();
    if (id) this.server.publish(SESSION, id, ...FINISH);
    this.#takeSignals();
  }

  /** What was given to it has come to its end. */
  #takeSignals() {
    const open = this.server.signals(SESSION).filter(({ status }) => status === "accepted");
    for (const record of open) this.server.record(SESSION, { ...record, status: "applied" });
  }

  resetStep() {
    const id = this.#open.at(-1);
    if (id) this.server.publish(SESSION, id, { type: "reset-step" }, { type: "text-start", id: "t1" }, delta("anew "));
  }

  /** Write one of the newest answers again, if nothing is being written: what followed it is replaced too. */
  regenerate() {
    const messages = this.server.messages(SESSION);
    const at = messages.findLastIndex(({ role }) => role === "assistant" && this.chance() < 0.7);
    if (at < 0 || this.#open.length) return;
    const id = `m_${(this.#answers += 1)}`;
    this.#open.push(id);
    const replaces = messages.slice(at).map((message) => message.id);
    const place = { parent: messages[at].parent, replaces };
    // In one commit, like every beginning here: a backup has both chunks or neither.
    this.server.beginAt(SESSION, id, place, { type: "start", messageId: id }, { type: "text-start", id: "t1" });
  }

  // --- The person ---

  say() {
    const text = `said ${(this.#said += 1)}`;
    this.sent.push(text);
    this.one.session.send(text);
  }

  steer() {
    const text = `steered ${(this.#said += 1)}`;
    this.sent.push(text);
    this.one.session.steer(text);
  }

  stop() {
    this.#stops += 1;
    this.one.session.cancel();
  }

  reload() {
    const at = Math.floor(this.chance() * this.pages.length);
    const [{ holdfast }] = this.pages.splice(at, 1);
    holdfast.close();
    this.open(openPage(this));
  }

  secondTab() {
    if (this.pages.length < 3) this.open(openPage(this));
  }

  setTabsApart() {
    this.tabs.areApart = this.chance() < 0.3;
  }

  wake() {
    this.one.page.document.dispatchEvent(new Event("visibilitychange"));
  }

  sleep() {
    this.clock.sleep(this.chance() * 600_000);
  }

  // --- The network ---

  cut() {
    this.network.cut();
  }

  freeze() {
    this.network.freeze();
  }

  refuse() {
    this.network.state = "refusing";
  }

  hang() {
    this.network.state = "hanging";
  }

  comeUp() {
    this.network.state = "up";
    if (this.chance() < 0.5) this.network.blocks = {};
  }

  block() {
    const [name, state] = [["websocket", "stream", "poll", "signals"], ["refusing", "hanging", 502]].map((all) => this.#one(all));
    this.network.blocks[name] = state;
  }

  #one(all) {
    return all[Math.floor(this.chance() * all.length)];
  }

  loseFrames() {
    this.server.loses = () => this.chance() < 0.3;
  }

  keepFrames() {
    this.server.loses = () => false;
  }

  // --- The server ---

  repeat() {
    const { epoch, log } = this.server.sessions.get(SESSION);
    const events = log.slice(-3);
    if (events.length) this.server.sendAll({ type: "events", session: SESSION, cursor: `${epoch}-${log.length}`, events });
  }

  changeEpoch() {
    this.server.changeEpoch(SESSION);
  }

  restoreBackup() {
    this.#restored = true;
    this.server.restore(SESSION, Math.floor(this.chance() * 10));
    this.server.changeEpoch(SESSION);
    const streaming = this.server.messages(SESSION).filter(({ status }) => status === "streaming");
    this.#open = streaming.map(({ id }) => id);
    this.network.cut();
  }

  trim() {
    const session = this.server.sessions.get(SESSION);
    const messages = this.server.messages(SESSION);
    const done = messages.filter(({ status }) => status === "complete");
    // Nothing that is still written has expired.
    const written = messages.filter(({ status }) => status === "streaming").map((message) => message.last_serial - 1);
    if (done.length > 5) session.trimmed = Math.max(session.trimmed, Math.min(done[0].last_serial, ...written));
  }

  goAway() {
    this.server.sendAll({ type: "going-away", reconnect_in_ms: Math.floor(this.chance() * 5_000) });
  }

  rejectForNow() {
    const error = { code: "storage_unavailable", message: "later", retryable: true };
    this.server.judge = () => (this.chance() < 0.5 ? error : null);
  }

  // --- The end ---

  async heal() {
    Object.assign(this.server, { loses: () => false, judge: () => null });
    Object.assign(this.network, { state: "up", blocks: {} });
    await this.clock.pass(HEALED_MS);
  }

  check() {
    const server = plain(this.server.messages(SESSION));
    for (const { holdfast, session } of this.pages) {
      assert.equal(holdfast.connection.state, "connected");
      const held = plain(session.messages);
      const ids = new Set(server.map(({ id }) => id));
      // A page that stays keeps what retention has removed meanwhile, and one that comes holds the newest.
      assert.deepEqual(held.filter(({ id }) => ids.has(id)), server.slice(-held.filter(({ id }) => ids.has(id)).length));
      assert.ok(held.length >= Math.min(server.length, 30) - this.#replaced.size);
      const all = new Map(plain(this.server.messages(SESSION, Infinity, true)).map((message) => [message.id, message]));
      for (const message of plain(session.replaced)) assert.deepEqual(message, all.get(message.id) ?? message);
      assert.ok(held.every(({ status }) => status !== "waiting" && status !== "sending"));
      this.#checkRecords(session);
    }
    assert.equal(this.tabs.kept.size, 0);
    this.#checkSignals();
  }

  get #replaced() {
    return new Set(this.server.sessions.get(SESSION).log.flatMap(({ replaces = [] }) => replaces));
  }

  // A page that stays knows of more that are final than one that comes is told of.
  #checkRecords({ signals }) {
    const server = this.server.signals(SESSION);
    const ids = new Set(server.map(({ id }) => id));
    const byId = (a, b) => a.id.localeCompare(b.id);
    assert.deepEqual(signals.filter(({ id }) => ids.has(id)).sort(byId), [...server].sort(byId));
    assert.ok(signals.every(({ actor }) => actor !== null), "none is unsent");
  }

  #checkSignals() {
    const { log } = this.server.sessions.get(SESSION);
    const given = log.map(({ chunk, signal }) => signal ?? chunk);
    const texts = given.filter(({ type, status }) => type === "message" || status === "accepted");
    const stored = texts.flatMap(({ parts, kind, payload }) => (kind === "cancel" ? [] : (parts ?? payload.parts)[0].text));
    assert.equal(new Set(stored).size, stored.length, "no signal twice");
    const stops = new Set(given.filter(({ kind }) => kind === "cancel").map(({ id }) => id));
    if (!this.#restored) assert.equal(stops.size, this.#stops, "every stop once");
    if (!this.#restored) assert.deepEqual([...stored].sort(), [...this.sent].sort(), "every signal once");
  }
}
