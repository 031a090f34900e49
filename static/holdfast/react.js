// Hooks for React 18 and later, on useSyncExternalStore: safe when effects run twice, and on a server.

"use client"; // where React renders components on a server

import { createContext, createElement, useContext, useEffect, useMemo, useSyncExternalStore } from "react";

/** @typedef {import("./client.js").Holdfast} Holdfast */
/** @typedef {import("./network/rest.js").SessionRecord} SessionRecord */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./snapshot.js").SessionSnapshot} SessionSnapshot */

/** @type {ActionName[]} */
const ACTIONS = ["send", "steer", "cancel", "approve", "deny", "toolResult", "retry", "dismiss", "loadOlder", "chunks"];
/** @typedef {"send"|"steer"|"cancel"|"approve"|"deny"|"toolResult"|"retry"|"dismiss"|"loadOlder"|"chunks"} ActionName */
/** Methods of the session, for event handlers and effects. @typedef {Pick<Session, ActionName>} SessionActions */
/**
 * Sessions of the user, newest first. `error`: why the latest request failed. `more`: whether `loadMore` finds any.
 * @typedef {{sessions: SessionRecord[], loading: boolean, error: Error|null, more: boolean}} SessionList
 */

/** @type {import("react").Context<Holdfast|null>} */
const HoldfastContext = createContext(/** @type {Holdfast|null} */ (null));

/**
 * Give a client to the components below. It is connected while this is mounted.
 * @param {{holdfast: Holdfast, children?: import("react").ReactNode}} props
 */
export function HoldfastProvider({ holdfast, children }) {
  useEffect(() => {
    holdfast.connect();
    return () => holdfast.close();
  }, [holdfast]);
  return createElement(HoldfastContext.Provider, { value: holdfast }, children);
}

/** The client of the `HoldfastProvider` above. @returns {Holdfast} */
export function useHoldfast() {
  const holdfast = useContext(HoldfastContext);
  if (!holdfast) throw new Error("useHoldfast needs a <HoldfastProvider> above the component");
  return holdfast;
}

/** State of the connection, as `holdfast.connection`. @returns {Holdfast["connection"]} */
export function useConnection() {
  const holdfast = useHoldfast();
  const store = useMemo(() => new ConnectionStore(holdfast), [holdfast]);
  return useSyncExternalStore(store.subscribe, store.snapshot, () => NOT_CONNECTED);
}

/**
 * Follow a session while the component is mounted.
 * @param {string|null} id null for none
 * @param {{replaced?: boolean}} [options] `replaced`: keep replaced messages too
 * @returns {SessionSnapshot & SessionActions} its state, and what it can do once mounted
 */
export function useSession(id, { replaced = false } = {}) {
  const holdfast = useHoldfast();
  const store = useMemo(() => new SessionStore(holdfast, id, replaced), [holdfast, id, replaced]);
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot, () => NOT_LOADED);
  return useMemo(() => ({ ...snapshot, ...store.actions }), [snapshot, store]);
}

/**
 * List the user's sessions. It is loaded on mounting, and again when the connection is back.
 * @returns {SessionList & Pick<SessionListStore, "refresh"|"loadMore"|"create">}
 */
export function useSessions() {
  const holdfast = useHoldfast();
  const store = useMemo(() => new SessionListStore(holdfast), [holdfast]);
  const list = useSyncExternalStore(store.subscribe, store.snapshot, () => NO_LIST);
  const { refresh, loadMore, create } = store;
  return useMemo(() => ({ ...list, refresh, loadMore, create }), [list, refresh, loadMore, create]);
}

// --- What a server renders, and a page before its effects ---

/** @type {Holdfast["connection"]} */
const NOT_CONNECTED = {
  ...{ state: "initialized", since: 0, lostAt: null, retryAt: null, reason: null, lastGoodAt: null, actor: null },
  ...{ transport: null, transportReason: null, transportSince: null },
};

/** @type {SessionSnapshot} */
const NOT_LOADED = {
  ...{ messages: [], replaced: [], signals: [], approvals: [], title: "", older: false },
  ...{ ready: false, gone: null, caughtUp: null, working: false, stopping: false },
};

/** @type {SessionList} */
const NO_LIST = { sessions: [], loading: true, error: null, more: false };

// --- Stores ---

class ConnectionStore {
  #holdfast;
  #connection;

  /** @param {Holdfast} holdfast */
  constructor(holdfast) {
    this.#holdfast = holdfast;
    this.#connection = holdfast.connection;
  }

  /** @param {() => void} notify */
  subscribe = (notify) => {
    const changed = () => {
      this.#connection = this.#holdfast.connection;
      notify();
    };
    return listen(this.#holdfast, ["connection"], changed);
  };

  snapshot = () => {
    // Missed before the subscription, if anything.
    const now = this.#holdfast.connection;
    if (now.state !== this.#connection.state) this.#connection = now;
    return this.#connection;
  };
}

class SessionStore {
  #follow;
  /** @type {Session|null} while subscribed */
  #session = null;

  /** @param {Holdfast} holdfast @param {string|null} id @param {boolean} replaced */
  constructor(holdfast, id, replaced) {
    this.#follow = () => (id === null ? null : holdfast.session(id, { replaced }));
    const actions = ACTIONS.map((name) => [name, (/** @type {any[]} */ ...given) => this.#do(name, given)]);
    this.actions = /** @type {SessionActions} */ (Object.fromEntries(actions));
  }

  /** @param {() => void} notify */
  subscribe = (notify) => {
    const session = (this.#session = this.#follow());
    if (!session) return () => {};
    const ignore = listen(session, ["change", "caught-up"], notify);
    return () => {
      ignore();
      session.detach();
      if (this.#session === session) this.#session = null;
    };
  };

  snapshot = () => this.#session?.snapshot() ?? NOT_LOADED;

  /** @param {ActionName} name @param {any[]} given */
  #do(name, given) {
    if (!this.#session) throw new Error(`useSession: ${name} before the component has mounted, or without a session`);
    return /** @type {any} */ (this.#session)[name](...given);
  }
}

class SessionListStore {
  #holdfast;
  #list = NO_LIST;
  /** @type {string|null} */
  #next = null;
  #latest = 0;
  #notify = () => {};

  /** @param {Holdfast} holdfast */
  constructor(holdfast) {
    this.#holdfast = holdfast;
  }

  /** @param {() => void} notify */
  subscribe = (notify) => {
    this.#notify = notify;
    this.refresh();
    const { connection } = this.#holdfast;
    let { state } = connection;
    const ignore = listen(this.#holdfast, ["connection"], () => {
      const before = state;
      ({ state } = this.#holdfast.connection);
      if (state === "connected" && before !== state && this.#list.error) this.refresh();
    });
    return () => {
      ignore();
      this.#latest += 1;
      this.#notify = () => {};
    };
  };

  snapshot = () => this.#list;

  /** Load the list again. */
  refresh = () => this.#load(null);

  /** Load the next page. */
  loadMore = async () => {
    if (this.#next !== null) await this.#load(this.#next);
  };

  /**
   * Create a session, and put it first.
   * @param {Parameters<Holdfast["createSession"]>[0]} [fields]
   */
  create = async (fields) => {
    const session = await this.#holdfast.createSession(fields);
    this.#set({ sessions: [session, ...this.#list.sessions.filter(({ id }) => id !== session.id)] });
    return session;
  };

  /** @param {string|null} next */
  async #load(next) {
    const number = (this.#latest += 1);
    this.#set({ loading: true });
    try {
      const page = await this.#holdfast.listSessions(next);
      if (number !== this.#latest) return; // a later request has been made, or the component is gone
      this.#next = page.next;
      const kept = next === null ? [] : this.#list.sessions;
      const added = page.results.filter(({ id }) => !kept.some((session) => session.id === id));
      this.#set({ sessions: [...kept, ...added], loading: false, error: null, more: page.next !== null });
    } catch (error) {
      if (number === this.#latest) this.#set({ loading: false, error: /** @type {Error} */ (error) });
    }
  }

  /** @param {Partial<SessionList>} fields */
  #set(fields) {
    this.#list = { ...this.#list, ...fields };
    this.#notify();
  }
}

/** @param {{addEventListener: Function, removeEventListener: Function}} target @param {string[]} types @param {() => void} tell */
function listen(target, types, tell) {
  for (const type of types) target.addEventListener(type, tell);
  return () => types.forEach((type) => target.removeEventListener(type, tell));
}
