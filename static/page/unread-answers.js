// Counts the answers of the conversation on show that ended while nobody watched.

/** Dispatches "change" when `count` has changed. */
export class UnreadAnswers extends EventTarget {
  count = 0;
  #isWatching;
  /** Answers that have ended; null until it is known which had before. @type {Set<string>|null} */
  #ended = null;
  #listening = new AbortController();

  /** @param {() => boolean} isWatching whether what is written is seen now */
  constructor(isWatching) {
    super();
    this.#isWatching = isWatching;
  }

  /** @param {import("../holdfast/index.js").Session | null} session the conversation on show */
  follow(session) {
    this.#listening.abort();
    this.#listening = new AbortController();
    this.#ended = null;
    this.seen();
    session?.addEventListener("change", () => this.#changed(session), { signal: this.#listening.signal });
    if (session?.ready) this.#changed(session);
  }

  seen() {
    this.#set(0);
  }

  #changed({ ready, messages }) {
    if (!ready) return;
    const ended = messages.filter(({ role, status }) => role === "assistant" && status !== "streaming");
    const fresh = ended.filter(({ id }) => this.#ended && !this.#ended.has(id));
    this.#ended = new Set(ended.map(({ id }) => id));
    if (!this.#isWatching()) this.#set(this.count + fresh.length);
  }

  #set(count) {
    if (this.count === count) return;
    this.count = count;
    this.dispatchEvent(new Event("change"));
  }
}
