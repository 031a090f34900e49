// The control that leafs through the alternatives of an answer: ‹ 2/3 ›.
import { EARLIER_ANSWER, alternativeNotice } from "./wording.js";
import { showText } from "./show-text.js";

export class AlternativesView {
  #earlier = stepButton("‹", "Earlier answer", () => this.#step(-1));
  #later = stepButton("›", "Later answer", () => this.#step(1));
  #place = document.createElement("span");
  #note = document.createElement("span");
  #show;
  #number = 1;
  #count = 1;

  /** @param {(number: number) => void} show called with the number of the one to draw */
  constructor(show) {
    this.#show = show;
    this.element = document.createElement("div");
    this.element.className = "alternatives";
    this.element.dataset.testid = "alternatives";
    this.element.setAttribute("role", "group");
    this.element.hidden = true;
    this.element.append(this.#earlier, this.#place, this.#later, this.#note);
  }

  /** @param {{number: number, count: number}} alternative */
  update({ number, count }) {
    [this.#number, this.#count] = [number, count];
    this.element.hidden = count < 2;
    this.element.setAttribute("aria-label", alternativeNotice(number, count));
    this.#place.textContent = `${number}/${count}`;
    // Not `disabled`, which would take the focus away.
    this.#earlier.setAttribute("aria-disabled", String(number === 1));
    this.#later.setAttribute("aria-disabled", String(number === count));
    showText(this.#note, number < count ? EARLIER_ANSWER : "");
  }

  #step(by) {
    const number = this.#number + by;
    if (number >= 1 && number <= this.#count) this.#show(number);
  }
}

/** @param {string} sign @param {string} label @param {() => void} press */
function stepButton(sign, label, press) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet-button";
  button.textContent = sign;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", press);
  return button;
}
