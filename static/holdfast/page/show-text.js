// Text of an element that is hidden while empty.

/**
 * Set the text, unless it is unchanged: screen readers would repeat it, and a selection would be lost.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showText(element, text) {
  element.hidden = text === "";
  if (element.textContent !== text) element.textContent = text;
}
