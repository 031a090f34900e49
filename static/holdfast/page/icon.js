// Icons come from the sprite in the page, and take the colour of the text beside them.
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} name a symbol of templates/holdfast/icons.svg, without "icon-"
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}
