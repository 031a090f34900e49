// Your back end's part: POST /token gives a page a token for whoever is signed in. Here it is Vite's own server, so that
// there is nothing else to start; in Python it is ten lines too (docs/publishing.md).

import { createHmac, randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Connect, Plugin } from "vite";

const LIFE_S = 600;

/** Who is signed in: ask your own session or cookie here. Everybody is the same person in this example. */
function userOf(_request: IncomingMessage): string {
  return "ext:you";
}

/** Sign a token with the first key of HOLDFAST_TOKEN_KEYS, `id:secret`. PROTOCOL.md §13 has the claims. */
function sign(keys: string, sub: string): string {
  const [kid = "", secret = ""] = (keys.split(",")[0] ?? "").split(":");
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: "holdfast", sub, scope: "read send approve cancel", sessions: ["*"] };
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "HS256", kid })}.${encode({ ...claims, iat: now, exp: now + LIFE_S, jti: randomUUID() })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** The endpoint, in `vite` and in `vite preview`. The key stays on this side: no page ever gets it. */
export function signingEndpoint(keys: string | undefined): Plugin {
  const answer: Connect.NextHandleFunction = (request, response) => {
    response.statusCode = request.method !== "POST" ? 405 : keys ? 200 : 500;
    response.setHeader("Cache-Control", "no-store");
    const missing = "Vite has no HOLDFAST_TOKEN_KEYS: start Holdfast with ./holdfast.sh, then Vite again";
    response.end(response.statusCode === 200 && keys ? sign(keys, userOf(request)) : missing);
  };
  return {
    name: "signing-endpoint",
    configureServer: ({ middlewares }) => void middlewares.use("/token", answer),
    configurePreviewServer: ({ middlewares }) => void middlewares.use("/token", answer),
  };
}
