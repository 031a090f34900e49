// React in jsdom, over the client on the test clock.

import { existsSync } from "node:fs";
import { register } from "node:module";

const installed = ["react-dom", "jsdom"].every((name) => existsSync(new URL(`../../node_modules/${name}`, import.meta.url)));
export const skip = !installed && process.env.CI !== "true" && "React isn't installed";

// The hooks import "react", which a page's own bundler finds, and Node only beside the tests.
register("./find-packages.mjs", import.meta.url);

/** Render on a page of its own, as React does in development. @returns {Promise<object>} */
export async function renderer() {
  const { JSDOM } = await import("jsdom");
  const { window } = new JSDOM("<div id=root></div>", { url: "https://holdfast.test/", pretendToBeVisual: true });
  for (const name of ["window", "document", "navigator", "HTMLElement", "Node", "MutationObserver"]) {
    Object.defineProperty(globalThis, name, { value: window[name] ?? window, configurable: true, writable: true });
  }
  globalThis.IS_REACT_ACT_ENVIRONMENT = true;
  const { act, createElement, StrictMode } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const root = createRoot(window.document.getElementById("root"));
  const render = (element) => act(async () => root.render(createElement(StrictMode, null, element)));
  const unmount = () => act(async () => root.unmount());
  /** Let time pass, and React follow. @param {import("./clock.mjs").Clock} clock @param {number} ms */
  const pass = (clock, ms) => act(() => clock.pass(ms));
  /** Let time pass until a condition holds: what React and imports do takes real time. */
  const until = async (clock, condition) => {
    for (const ends = Date.now() + 10_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 1))) {
      if (Date.now() > ends) throw new Error("it has not come true in 10 s");
      await pass(clock, 10);
    }
  };
  return { act, createElement, render, unmount, pass, until, text: () => window.document.body.textContent };
}
