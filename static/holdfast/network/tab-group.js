// The tabs of a browser that share one stream or long poll. HTTP/1.1 has six connections to a server: without sharing, a
// seventh tab and whatever else a page asks for would wait until another tab is closed. The leader's exchanges follow
// the sessions of all tabs and pass frames on; each tab catches up, and sends, by short requests of its own.

import { aborted } from "../aborted.js";
import { orNull } from "../or-null.js";

/** @typedef {import("../protocol.js").Frame} Frame */
/**
 * A message between tabs: the leader's frame; a new leader, which asks what the others follow; what a tab follows,
 * nothing when it leaves.
 * @typedef {{frame: Frame}|{leader: true}|{tab: string, follows: string[]}} TabMessage
 */

// Heartbeats of the stream without an announcement after which a tab counts as gone; each heartbeat asks for one.
const MISSED = 3;

export class TabGroup {
  /** This tab leads from now on. @type {() => void} */
  onlead = () => {};
  /** The sessions of other tabs have changed; for the leader. @type {() => void} */
  onfollowed = () => {};
  /** A frame came by the leader's stream; for the others. @type {(frame: Frame) => void} */
  onframe = () => {};
  /** Whether this tab keeps a stream of its own: without locks and channels, every tab does. */
  leads = true;
  #name;
  #locks;
  #page;
  #tab = crypto.randomUUID?.() ?? String(crypto.getRandomValues(new Uint32Array(1))[0]);
  /** @type {BroadcastChannel|null} */
  #channel = null;
  /** Aborted to leave. */
  #membership = new AbortController();
  /** Sessions of this tab. @type {string[]} */
  #own = [];
  /**
   * Sessions of the other tabs by tab, and the heartbeats since they were announced.
   * @type {Map<string, {follows: string[], missed: number}>}
   */
  #others = new Map();

  /**
   * @param {Window & typeof globalThis} page
   * @param {string} name of the group: tabs with the same transport to the same server that act as the same person
   */
  constructor(page, name) {
    this.#page = page;
    this.#name = `holdfast.tabs ${name}`;
    this.#locks = orNull(() => page.navigator.locks); // of secure pages only
  }

  /** Sessions that other tabs follow. */
  get others() {
    return [...new Set([...this.#others.values()].flatMap(({ follows }) => follows))];
  }

  /** Join the group; `ready` is called once it is known who leads. @param {() => void} ready */
  join(ready) {
    const { signal } = (this.#membership = new AbortController());
    const locks = this.#locks;
    this.#channel = locks ? orNull(() => new this.#page.BroadcastChannel(this.#name)) : null;
    this.leads = !this.#channel;
    if (!locks || !this.#channel) return ready();
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    let known = false;
    const know = () => {
      if (!known && !signal.aborted) ready();
      known = true;
    };
    const lead = () => {
      if (signal.aborted) return undefined;
      this.leads = true;
      this.#tell({ leader: true });
      if (known) this.onlead();
      know();
      return aborted(signal);
    };
    locks.request(this.#name, { signal }, lead).catch(lead); // where locks are forbidden, each tab leads
    // Behind the first request this one is never granted: it is answered once that one was, or has to wait.
    locks.request(this.#name, { ifAvailable: true }, know).catch(know);
  }

  /** Leave the group: the page is hidden, or the transport closed. */
  leave() {
    this.#membership.abort();
    this.#tell({ tab: this.#tab, follows: [] });
    this.#channel?.close();
    this.#channel = null;
    this.#others.clear();
  }

  /** Tell the leader what this tab follows. @param {string[]} sessions */
  follow(sessions) {
    this.#own = sessions;
    if (!this.leads) this.#announce();
  }

  /** Pass a frame of this tab's stream to the others, as far as it concerns them. @param {Frame} frame */
  pass(frame) {
    if (!this.#others.size) return;
    if (frame.type === "heartbeat") this.#forgetGone();
    if (frame.type === "heartbeat" || this.others.includes(frame.session)) this.#tell({ frame });
  }

  #announce() {
    this.#tell({ tab: this.#tab, follows: this.#own });
  }

  #forgetGone() {
    for (const [tab, other] of this.#others) if ((other.missed += 1) > MISSED) this.#others.delete(tab);
  }

  /** @param {TabMessage} message */
  #tell(message) {
    this.#channel?.postMessage(message);
  }

  /** @param {TabMessage} message */
  #receive(message) {
    if ("tab" in message) return this.leads && this.#followed(message.tab, message.follows);
    if (this.leads) return;
    if ("leader" in message || message.frame.type === "heartbeat") this.#announce();
    if ("frame" in message) this.onframe(message.frame);
  }

  /** @param {string} tab @param {string[]} follows */
  #followed(tab, follows) {
    const before = this.others;
    if (follows.length) this.#others.set(tab, { follows, missed: 0 });
    else this.#others.delete(tab);
    if (this.others.some((session) => !before.includes(session))) this.onfollowed();
  }
}
