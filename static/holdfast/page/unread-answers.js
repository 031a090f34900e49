// Counter of unseen answers and approvals of the conversation shown.

/** Dispatches "change" when `count` has changed. */
export class UnreadAnswers extends EventTarget {
  count = 0;
  #isWatching;
  /** Ids of ended answers and approvals; null until the initial ones are loaded. @type {Set<string>|null} */
  #known = null;
  #listening = new AbortController();

  /** @param {() => boolean} isWatching whether the newest text is in view */
  constructor(isWatching) {
    super();
    this.#isWatching = isWatching;
  }

  /** @param {import("../index.js").Session | null} session of the conversation shown */
  follow(session) {
    this.#listening.abort();
    this.#listening = new AbortController();
    this.#known = null;
    this.seen();
    session?.addEventListener("change", () => this.#changed(session), { signal: this.#listening.signal });
    if (session?.ready) this.#changed(session);
  }

  seen() {
    this.#set(0);
  }

  #changed({ ready, messages, approvals }) {
    if (!ready) return;
    const ended = messages.filter(({ role, status }) => role === "assistant" && status !== "streaming");
    const known = [...ended.map(({ id }) => id), ...approvals.map(({ approval }) => approval)];
    const fresh = known.filter((id) => this.#known && !this.#known.has(id));
    this.#known = new Set(known);
    if (!this.#isWatching()) this.#set(this.count + fresh.length);
  }

  #set(count) {
    if (this.count === count) return;
    this.count = count;
    this.dispatchEvent(new Event("change"));
  }
}
