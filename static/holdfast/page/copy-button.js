// Copy button, with confirmation.
import { icon } from "./icon.js";

const SAID_MS = 2000;

/**
 * @param {string} label accessible name
 * @param {() => string} text returns the text to copy, at the click
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
    const answer = (await copy(text())) ? "Copied" : "Copying is not allowed";
    word.textContent = answer;
    button.setAttribute("aria-label", answer);
    setTimeout(() => {
      word.textContent = "Copy";
      button.setAttribute("aria-label", label);
    }, SAID_MS);
  });
  return button;
}

// Browsers allow the clipboard on https and localhost only.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
