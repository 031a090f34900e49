// Holdfast for pages: `import { Holdfast } from "/static/holdfast/index.js"`.

export { Holdfast } from "./client.js";
export { Session } from "./session.js";
