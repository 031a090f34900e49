// Icons from the page's SVG sprite, in the colour of the text.
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
