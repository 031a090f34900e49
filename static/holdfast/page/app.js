// The page: one connection, the conversation shown, and the list of the others.
import { sentence } from "../connection-words.js";
import { Holdfast } from "../index.js";
// What the client loads when it is needed, this page has from its beginning: a network that fails meanwhile must not keep
// unsent messages from being stored, and shared with other tabs.
import "../network/http.js";
import "../shared-signals.js";
import "../status-element.js";
import { Absence } from "./absence.js";
import { addresses } from "./addresses.js";
import { createSession } from "./api.js";
import { Composer } from "./composer.js";
import { ConversationList } from "./conversation-list.js";
import { loadDraft, saveDraft } from "./draft.js";
import { Drawer } from "./drawer.js";
import { network } from "./network.js";
import { Router, signInPath } from "./router.js";
import { Transcript } from "./transcript.js";
import { UnreadAnswers } from "./unread-answers.js";
import { isUnfinished } from "./signal-status.js";
import { caughtUpNotice, stopNotice, titleOf } from "./wording.js";

const HOUR_MS = 3_600_000;
const RETRY_MS = 1_000;
const NAME = document.title;
// Key of the draft that keeps messages sent before their conversation exists.
const BEGINNING = "beginning";

class App {
  #holdfast = new Holdfast({ url: addresses.webSocket, api: addresses.api, ...network });
  #router = new Router();
  #list = new ConversationList();
  #transcript = new Transcript(() => this.#holdfast.connection.actor);
  #unread = new UnreadAnswers(() => this.#transcript.watching);
  #composer = new Composer();
  #drawer = new Drawer();
  #status = document.querySelector("holdfast-status");
  #absence = new Absence(this.#holdfast);
  #heading = document.getElementById("conversation-heading");
  /** @type {import("../index.js").Session | null} */
  #session = null;
  /** The sessions followed: the one on show, and those left with messages to send. @type {Map<string, import("../index.js").Session>} */
  #followed = new Map();
  /** The title last reported by the session; other devices may rename it, and so may the list. */
  #title = "";
  /** Ids of stops in progress. @type {Set<string>} */
  #stops = new Set();
  /** The conversation being created for the first messages. @type {Promise<object>|null} */
  #beginning = null;

  start() {
    this.#router.addEventListener("change", () => this.#show());
    this.#list.addEventListener("open", ({ detail }) => this.#open(detail.id));
    this.#list.addEventListener("change", () => this.#showTitle());
    this.#list.addEventListener("deleted", ({ detail }) => this.#deleted(detail.id));
    this.#composer.addEventListener("send", ({ detail }) => this.#send(detail.text, detail.steer));
    this.#composer.addEventListener("stop", () => this.#stop());
    this.#transcript.addEventListener("render", () => this.#rendered());
    this.#transcript.addEventListener("watching", () => this.#transcript.watching && this.#unread.seen());
    this.#transcript.addEventListener("refused", ({ detail }) => this.#refused(detail));
    this.#unread.addEventListener("change", () => this.#showUnread());
    this.#holdfast.addEventListener("connection", () => this.#showConnection());
    this.#holdfast.addEventListener("keeping", ({ detail }) => this.#composer.setKeeping(detail));
    this.#status.addEventListener("change", () => this.#transcript.setOnline(this.#status.online));
    this.#status.addEventListener("sign-in", (event) => this.#signIn(event));
    this.#status.holdfast = this.#holdfast;
    document.getElementById("gone-new").addEventListener("click", () => this.#open(null));
    for (const prompt of document.querySelectorAll("[data-prompt]")) {
      prompt.addEventListener("click", () => this.#send(prompt.dataset.prompt));
    }
    this.#restore();
    this.#holdfast.connect();
    this.#list.refresh();
    this.#show();
  }

  /** Put messages that a reload kept from being sent back into the composer. */
  #restore() {
    saveDraft(null, joined(loadDraft(BEGINNING), loadDraft(null)));
    saveDraft(BEGINNING, "");
  }

  #open(id) {
    this.#router.open(id);
    this.#drawer.close();
    this.#composer.focus();
  }

  #show() {
    this.#leave();
    const id = this.#router.sessionId;
    this.#session = id === null ? null : this.#follow(id);
    this.#session?.addEventListener("caught-up", ({ detail }) => this.#caughtUp(detail));
    this.#unread.follow(this.#session);
    this.#list.setCurrent(id);
    this.#composer.show(id);
    this.#transcript.show(this.#session, () => retentionHours(this.#list.get(id)));
    this.#title = "";
    this.#stops.clear();
    this.#showTitle();
    document.getElementById("sign-in")?.setAttribute("href", signInPath());
  }

  #follow(id) {
    const session = this.#followed.get(id) ?? this.#holdfast.session(id, { replaced: true });
    this.#followed.set(id, session);
    return session;
  }

  #showConnection() {
    const { state, transport } = this.#holdfast.connection;
    document.body.dataset.connection = state;
    document.body.dataset.transport = transport ?? "";
  }

  #signIn(event) {
    event.preventDefault();
    location.assign(signInPath());
  }

  #caughtUp(caughtUp) {
    if (caughtUp.events > 0 && this.#absence.end()) this.#status.say(caughtUpNotice(caughtUp));
  }

  #leave() {
    if (!this.#session) return;
    // The outbox sends only while its session is followed.
    const { id, messages, signals } = this.#session;
    if ([...messages, ...signals].some(({ status }) => status === "waiting" || status === "sending")) return;
    this.#followed.delete(id);
    this.#session.detach();
  }

  #rendered() {
    if (!this.#session) return;
    const { id, title, gone, working, stopping } = this.#session;
    this.#composer.hidden = Boolean(gone);
    if (title !== this.#title) this.#list.setTitle(id, (this.#title = title));
    this.#showTitle();
    this.#list.setAnswering(id, working);
    this.#composer.setWork({ working, stopping, online: this.#status.online });
    this.#tellStops(this.#session.signals.filter(({ kind }) => kind === "cancel"));
  }

  #tellStops(stops) {
    const news = stops.find((signal) => this.#stops.has(signal.id) && !isUnfinished(signal));
    if (news) this.#composer.say(stopNotice(news));
    this.#stops = new Set(stops.filter(isUnfinished).map(({ id }) => id));
  }

  #showTitle() {
    const title = this.#knownTitle();
    const heading = title || this.#untitled();
    if (this.#heading.textContent !== heading) this.#heading.textContent = heading;
    const unread = this.#unread.count ? `(${this.#unread.count}) ` : "";
    document.title = unread + (title ? `${title} · ${NAME}` : NAME);
  }

  #showUnread() {
    this.#showTitle();
    if (this.#session) this.#list.setUnread(this.#session.id, this.#unread.count > 0);
  }

  #knownTitle() {
    if (!this.#session || this.#session.gone) return "";
    return this.#list.get(this.#session.id)?.title || this.#session.title;
  }

  #untitled() {
    if (!this.#session) return "New conversation";
    if (this.#session.gone) return "Not available";
    return this.#session.ready ? "Untitled conversation" : "";
  }

  async #send(text, steer = false) {
    const session = this.#session ?? (await this.#begin(text));
    if (!session) return;
    this.#transcript.jump();
    const stored = steer ? session.steer(text) : session.send(text);
    stored.catch((error) => this.#notSent(error, text));
  }

  #refused({ message }) {
    this.#composer.say(`Not possible: ${sentence(message)}`);
  }

  #stop() {
    this.#session?.cancel().catch(({ message }) => this.#composer.say(`Not stopped: ${sentence(message)}`));
  }

  #notSent({ code, message }, text) {
    // A message refused for another reason stays in the transcript.
    if (code === "outbox_full") this.#composer.write(joined(text, this.#composer.text));
    this.#composer.say(`Not sent: ${sentence(message)}`);
  }

  /** Create the conversation of the first messages; on failure return null, with the text back in the composer. */
  async #begin(text) {
    this.#transcript.showWaiting(text);
    // Survive a reload: there is no conversation yet whose outbox could keep it.
    saveDraft(BEGINNING, joined(loadDraft(BEGINNING), text));
    this.#beginning ??= this.#create(titleOf(text)).finally(() => (this.#beginning = null));
    try {
      const { id } = await this.#beginning;
      if (this.#router.sessionId === null) this.#enter(id);
      return this.#follow(id);
    } catch (error) {
      this.#transcript.show(null);
      this.#composer.write(joined(this.#composer.text, text));
      this.#composer.say(`The conversation can't be created: ${sentence(error.message)} Your text is kept.`);
      return null;
    } finally {
      saveDraft(BEGINNING, "");
    }
  }

  /** Open the created conversation, with the text being typed. */
  #enter(id) {
    saveDraft(id, this.#composer.text);
    saveDraft(null, "");
    this.#router.open(id);
  }

  async #create(title) {
    for (;;) {
      try {
        const session = await createSession(title);
        this.#list.add(session);
        return session;
      } catch (error) {
        if (!error.offline) throw error;
        await this.#reconnected();
      }
    }
  }

  /** Resolve when another request may succeed. */
  async #reconnected() {
    // A request may fail before the connection is known to be lost.
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    while (this.#holdfast.connection.state !== "connected") {
      await new Promise((resolve) => this.#holdfast.addEventListener("connection", resolve, { once: true }));
    }
  }

  #deleted(id) {
    if (id === this.#router.sessionId) this.#open(null);
  }
}

function joined(...texts) {
  return texts.filter(Boolean).join("\n\n");
}

function retentionHours(session) {
  if (!session?.expires_at) return null;
  return Math.round((session.expires_at - session.active_at) / HOUR_MS);
}

new App().start();
