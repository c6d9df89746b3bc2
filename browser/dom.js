/** Small helpers to build elements. Everything that came from Discord enters as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";
const AVATAR_COLOURS = 6;
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

/** One of the page's symbols, with a name for those who do not see it. */
export function icon(name, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${name}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const title = document.createElementNS(SVG, "title");
  title.textContent = label;
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(title, use);
  return svg;
}

/** A picture of someone: theirs, or their initial on a colour of their own. */
export function avatar({ userId, username, avatar: address }) {
  const initial = el("span", { className: `avatar colour-${Number(BigInt(digits(userId)) % BigInt(AVATAR_COLOURS))}` }, initialOf(username));
  initial.setAttribute("aria-hidden", "true");
  if (!address || !/^https?:/.test(address)) return initial;
  const image = el("img", { className: "avatar", src: address.replace(DISCORD_IMAGES, images), alt: "", width: 28, height: 28, loading: "lazy", referrerPolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(initial), { once: true });
  return image;
}

/** What to call someone whose name is not known. */
export function nameOf({ username, userId }) {
  return username || `someone (…${String(userId).slice(-4)})`;
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

function initialOf(name) {
  const [first = "?"] = new Intl.Segmenter().segment((name ?? "?").trim() || "?");
  return first.segment.toUpperCase();
}

function digits(id) {
  return /^\d+$/.test(id) ? id : "0";
}
