// Puts a text into an element, which is hidden while there is none.

/**
 * The same text is left alone: a screen reader may have said it, and a reader may have selected it.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showText(element, text) {
  element.hidden = text === "";
  if (element.textContent !== text) element.textContent = text;
}
