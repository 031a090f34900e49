// Your back end's part: POST /token gives a page a token for whoever is signed in. Here it is Vite's own server, so that
// there is nothing else to start; in Python it is ten lines too (docs/publishing.md).

import { createHmac, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import type { Connect, Plugin } from "vite";

const LIFE_S = 600;
// Where `make run` keeps the key of a site that has no HOLDFAST_TOKEN_KEYS, for development.
const DEVELOPMENT_KEY = new URL("../../../var/token_key", import.meta.url);

/** Who is signed in: ask your own session or cookie here. Everybody is the same person in this example. */
function userOf(_request: IncomingMessage): string {
  return "ext:you";
}

/** The keys: as Holdfast has them, `id:secret,id:secret`. */
function tokenKeys(): string | undefined {
  const { HOLDFAST_TOKEN_KEYS } = process.env;
  if (HOLDFAST_TOKEN_KEYS) return HOLDFAST_TOKEN_KEYS;
  return existsSync(DEVELOPMENT_KEY) ? `development:${readFileSync(DEVELOPMENT_KEY, "utf8")}` : undefined;
}

/** Sign a token with the first of the keys. PROTOCOL.md §13 has the claims. */
function sign(keys: string, sub: string): string {
  const [kid = "", secret = ""] = (keys.split(",")[0] ?? "").split(":");
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: "holdfast", sub, scope: "read send approve cancel", sessions: ["*"] };
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode({ alg: "HS256", kid })}.${encode({ ...claims, iat: now, exp: now + LIFE_S, jti: randomUUID() })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** The endpoint, in `vite` and in `vite preview`. The key stays on this side: no page ever gets it. */
export function signingEndpoint(): Plugin {
  const answer: Connect.NextHandleFunction = (request, response) => {
    const keys = tokenKeys();
    response.statusCode = request.method !== "POST" ? 405 : keys ? 200 : 500;
    response.setHeader("Cache-Control", "no-store");
    const missing = "There is no key to sign tokens with: start Holdfast (make run), or set HOLDFAST_TOKEN_KEYS";
    response.end(response.statusCode === 200 && keys ? sign(keys, userOf(request)) : missing);
  };
  return {
    name: "signing-endpoint",
    configureServer: ({ middlewares }) => void middlewares.use("/token", answer),
    configurePreviewServer: ({ middlewares }) => void middlewares.use("/token", answer),
  };
}
