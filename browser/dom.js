/** Small helpers to build elements. Everything that came from Discord enters as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 6n;
const DISCORD_IMAGES = "https://cdn.discordapp.com";
let images = DISCORD_IMAGES;

/** A Discord of another make, such as the sandbox, keeps its pictures itself: everyone's are where this one is. */
export function takeImagesFrom(address) {
  if (URL.canParse(address)) images = new URL(address).origin;
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element: properties are set as properties, children are elements or text. */
export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** One of the page's symbols, with a name for those who do not see it; without one it only decorates. */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${name}`);
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  if (label) {
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.setAttribute("role", "img");
    svg.append(title);
  } else svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A picture of someone: theirs, or their initial on a colour of their own. */
export function avatar({ userId, displayName, username, avatar: address }) {
  const initial = el("span", { className: `avatar ${colourOf(userId)}` }, initialOf(displayName ?? username));
  initial.setAttribute("aria-hidden", "true");
  if (!address || !/^https?:/.test(address)) return initial;
  const image = el("img", { className: "avatar", src: address.replace(DISCORD_IMAGES, images), alt: "", width: 32, height: 32, loading: "lazy", referrerPolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(initial), { once: true });
  return image;
}

/** The class of a colour that goes with an id. */
export function colourOf(id) {
  return `colour-${/^\d+$/.test(id) ? BigInt(id) % COLOURS : 0}`;
}

/** The first letter of a name, whatever its script makes a letter. */
export function initialOf(name) {
  const [first] = new Intl.Segmenter().segment((name ?? "").trim() || "?");
  return first.segment.toUpperCase();
}

/** Sets the text only when it differs, so that nothing is laid out again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fills a select, keeping what is chosen. Nothing happens while it is open or unchanged. */
export function fillSelect(select, options) {
  const key = JSON.stringify(options);
  if (select.dataset.options === key || document.activeElement === select) return;
  const chosen = select.value;
  select.dataset.options = key;
  select.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
