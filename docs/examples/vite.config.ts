import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv } from "vite";
import { signingEndpoint } from "./shared/signing-endpoint.ts";

const PAGES = ["index.html", "usechat/index.html", "react/index.html", "assistant-ui/index.html", "eventsource/index.html"];

export default defineConfig(({ mode }) => {
  const environment = { ...loadEnv(mode, import.meta.dirname, ["HOLDFAST_", "VITE_"]), ...process.env };
  return {
    plugins: [react(), signingEndpoint(environment.HOLDFAST_TOKEN_KEYS)],
    build: { target: "es2022", rolldownOptions: { input: PAGES } },
    server: {
      port: 5173,
      strictPort: true, // HOLDFAST_ORIGINS names it
      // For the page with EventSource, which can only ask its own origin.
      proxy: {
        "/holdfast/": {
          target: environment.VITE_HOLDFAST ?? "http://127.0.0.1:8000",
          rewrite: (path: string) => path.replace("/holdfast", ""),
        },
      },
    },
  };
});
