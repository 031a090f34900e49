// The React hooks: under StrictMode, which mounts twice, and on a server.

import assert from "node:assert/strict";
import { test } from "node:test";
import "../../static/holdfast/older.js"; // loaded when it is needed; on the test clock, that must take no time
import "../../static/holdfast/network/rest.js";
import { renderer, skip } from "./support/react-page.mjs";
import { FINISH, SESSION, begin, delta, openPage, plain, world } from "./support/world.mjs";

const hooks = skip ? {} : await import("../../static/holdfast/react.js");
const { HoldfastProvider, useConnection, useHoldfast, useSession, useSessions } = hooks;

/** A page with a component below a provider; `seen` has what its hook returned, last first. */
async function mounted(use, page = world()) {
  const react = await renderer();
  const seen = [];
  function Probe() {
    const value = use();
    seen.unshift(value);
    return JSON.stringify(value.messages ?? value.state ?? "");
  }
  const { createElement } = react;
  const tree = () => createElement(HoldfastProvider, { holdfast: page.holdfast }, createElement(Probe));
  await react.render(tree());
  await react.pass(page.clock, 50);
  return { ...page, ...react, seen, tree };
}

test("a session is followed once, streams, and is left with the component", { skip }, async () => {
  const { clock, holdfast, network, pass, seen, server, unmount } = await mounted(() => useSession(SESSION));
  assert.equal(seen.at(-1).ready, false);
  assert.equal(seen[0].ready, true);
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
  await pass(clock, 50);
  assert.equal(seen[0].messages[0].parts[0].text, "Hel");
  const [before] = seen;
  server.publish(SESSION, "m_1", delta("lo"), ...FINISH);
  await pass(clock, 50);
  assert.deepEqual(plain(seen[0].messages), plain(server.messages(SESSION)));
  assert.equal(before.messages[0].parts[0].text, "Hel");
  await unmount();
  await clock.pass(5_000);
  assert.equal(holdfast.connection.state, "closed");
  assert.equal(network.wires.filter(({ isOpen }) => isOpen).length, 0);
});

test("its actions send, and are the same between renders", { skip }, async () => {
  const { act, clock, pass, seen, server } = await mounted(() => useSession(SESSION));
  const { send } = seen[0];
  await act(async () => void send("Hello"));
  await pass(clock, 50);
  assert.equal(seen[0].messages[0].status, "complete");
  assert.equal(server.messages(SESSION)[0].parts[0].text, "Hello");
  assert.equal(seen[0].send, send);
});

test("one of two components leaves the session, the other stays", { skip }, async () => {
  const page = world();
  const { act, clock, createElement, pass, render, server } = await mounted(() => useSession(SESSION), page);
  const seen = { one: [], two: [] };
  const Probe = ({ name }) => {
    seen[name].unshift(useSession(SESSION));
    return null;
  };
  const tree = (...names) =>
    createElement(HoldfastProvider, { holdfast: page.holdfast }, ...names.map((name) => createElement(Probe, { name, key: name })));
  await render(tree("one", "two"));
  await pass(clock, 50);
  assert.equal(seen.one[0].messages, seen.two[0].messages);
  await render(tree("two"));
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("still"));
  await pass(clock, 50);
  assert.equal(seen.two[0].messages[0].parts[0].text, "still");
  await act(async () => {});
});

test("another id shows nothing of the session before", { skip }, async () => {
  const page = world();
  page.server.create("another-session-000001");
  let id = SESSION;
  const { clock, pass, render, seen, server, tree } = await mounted(() => useSession(id), page);
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("first"));
  await pass(clock, 50);
  const count = seen.length;
  id = "another-session-000001";
  await render(tree());
  await pass(clock, 50);
  const since = seen.slice(0, seen.length - count);
  assert.ok(since.length && since.every(({ messages }) => messages.length === 0));
  id = null;
  await render(tree());
  assert.equal(seen[0].ready, false);
  assert.throws(() => seen[0].send("Hello"), /without a session/);
});

test("the connection is shown in every state", { skip }, async () => {
  const { clock, network, pass, seen } = await mounted(() => useConnection());
  assert.equal(seen[0].state, "connected");
  network.state = "refusing";
  network.cut();
  await pass(clock, 1_000);
  assert.ok(["connecting", "disconnected"].includes(seen[0].state));
  network.state = "up";
  await pass(clock, 30_000);
  assert.equal(seen[0].state, "connected");
});

test("sessions are listed page by page, created, and listed again after a failure", { skip }, async () => {
  const created = world();
  let fails = true;
  created.network.fetch = async (url, { method }) => {
    if (fails) throw new TypeError("Failed to fetch");
    if (method === "POST") return new Response('{"id": "new"}');
    const next = url.includes("cursor") ? null : "/api/sessions/?cursor=2";
    return new Response(JSON.stringify({ results: [{ id: next ? "one" : "two" }], next }));
  };
  const page = { ...created, ...openPage(created) };
  const { act, clock, network, pass, seen, until } = await mounted(() => useSessions(), page);
  await until(clock, () => !seen[0].loading && seen[0].error);
  assert.deepEqual([seen[0].loading, seen[0].error.offline, seen[0].sessions], [false, true, []]);
  fails = false;
  network.cut();
  await until(clock, () => !seen[0].loading && !seen[0].error);
  const ids = () => seen[0].sessions.map(({ id }) => id);
  assert.deepEqual([ids(), seen[0].more, seen[0].error], [["one"], true, null]);
  await act(() => seen[0].loadMore());
  assert.deepEqual([ids(), seen[0].more], [["one", "two"], false]);
  await act(() => seen[0].create({ title: "New" }));
  assert.deepEqual(ids(), ["new", "one", "two"]);
  await act(() => seen[0].refresh());
  assert.deepEqual(ids(), ["one"]);
});

test("a server renders what a page shows before it is connected", { skip }, async () => {
  const { createElement } = await import("react");
  const { renderToString } = await import("react-dom/server");
  const { holdfast, network } = world();
  const Probe = () => {
    const { messages, ready } = useSession(SESSION);
    return `${useConnection().state} ${useSessions().loading} ${ready} ${messages.length}`;
  };
  const html = renderToString(createElement(HoldfastProvider, { holdfast }, createElement(Probe)));
  assert.equal(html, "initialized true false 0");
  assert.equal(network.wires.length, 0);
});

test("without a provider, the hooks say what is missing", { skip }, async () => {
  const { createElement } = await import("react");
  const { renderToString } = await import("react-dom/server");
  assert.throws(() => renderToString(createElement(() => useHoldfast().url)), /needs a <HoldfastProvider>/);
});
