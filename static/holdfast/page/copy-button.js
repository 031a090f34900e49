// A button that puts a text on the clipboard and says that it did.
import { icon } from "./icon.js";

const SAID_MS = 2000;

/**
 * @param {string} label its accessible name
 * @param {() => string} text what to copy, read at the click
 * @returns {HTMLButtonElement}
 */
export function copyButton(label, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet-button copy-button";
  button.dataset.testid = "copy";
  const word = document.createElement("span");
  word.textContent = "Copy";
  button.append(icon("copy"), word);
  button.setAttribute("aria-label", label);
  button.addEventListener("click", async () => {
    const answer = (await copy(text())) ? "Copied" : "Copying isn't allowed here";
    word.textContent = answer;
    button.setAttribute("aria-label", answer);
    setTimeout(() => {
      word.textContent = "Copy";
      button.setAttribute("aria-label", label);
    }, SAID_MS);
  });
  return button;
}

// Browsers offer the clipboard to pages on https and on the machine itself only.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
