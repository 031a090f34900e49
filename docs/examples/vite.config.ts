import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { signingEndpoint } from "./shared/signing-endpoint.ts";

const PAGES = ["index.html", "usechat/index.html", "react/index.html", "assistant-ui/index.html", "eventsource/index.html"];

export default defineConfig({
  plugins: [react(), signingEndpoint()],
  build: { target: "es2022", rolldownOptions: { input: PAGES } },
  server: {
    port: 5173,
    strictPort: true, // HOLDFAST_ORIGINS names it
    // For the page with EventSource, which can only ask its own origin.
    proxy: {
      "/holdfast/": {
        target: process.env.VITE_HOLDFAST ?? "http://127.0.0.1:8000",
        rewrite: (path) => path.replace("/holdfast", ""),
      },
    },
  },
});
