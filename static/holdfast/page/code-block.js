// Code block with its language and a copy button.
import { copyButton } from "./copy-button.js";

export class CodeBlock {
  #label = document.createElement("span");
  #code = document.createElement("code");

  constructor() {
    this.element = document.createElement("figure");
    this.element.className = "code-block";
    this.element.dataset.testid = "code-block";
    this.#label.className = "code-language";
    const head = document.createElement("figcaption");
    head.append(this.#label, copyButton("Copy code", () => this.#code.textContent ?? ""));
    const pre = document.createElement("pre");
    pre.tabIndex = 0; // wide code scrolls by keyboard
    pre.append(this.#code);
    this.element.append(head, pre);
  }

  /**
   * @param {string} text
   * @param {string} [language] the fence's info string, or a label
   */
  update(text, language) {
    this.#label.textContent = language?.split(/\s/)[0] || "text";
    appendOrReplace(this.#code, text);
  }
}

/** Set the text; append to growing text, so that a selection in it stays. */
function appendOrReplace(element, text) {
  const node = element.firstChild;
  if (node && text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else element.textContent = text;
}
