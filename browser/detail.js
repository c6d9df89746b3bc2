/** One event in full: its payload as Discord sent it, character by character. */

import { indentJson } from "./describe.js";
import { byId, setText } from "./dom.js";

/** A longer text makes the browser slow; all of it can still be copied. */
const MAX_SHOWN = 200_000;

export class Detail {
  #dialog = byId("detail");
  #raw = "";

  constructor() {
    byId("detail-close").addEventListener("click", () => this.#dialog.close());
    byId("detail-indent").addEventListener("change", () => this.#draw());
    byId("detail-copy").addEventListener("click", () => this.#copy());
    this.#dialog.addEventListener("click", ({ target }) => target === this.#dialog && this.#dialog.close());
  }

  /** Opens it; `at` is when the event arrived here. */
  show({ event, id, ts, raw }, at) {
    this.#raw = raw;
    const delay = Number.isFinite(ts) && `${Math.max(0, at - ts)} ms after the gateway had it`;
    setText(byId("detail-title"), event);
    setText(byId("detail-about"), [id && `id ${id}`, `${raw.length.toLocaleString()} characters`, delay].filter(Boolean).join(" · "));
    setText(byId("detail-copy"), "Copy as sent");
    this.#draw();
    this.#dialog.showModal();
  }

  #draw() {
    const raw = this.#raw;
    const rest = raw.length - MAX_SHOWN;
    const indented = byId("detail-indent").checked && rest <= 0;
    setText(byId("detail-text"), indented ? indentJson(raw) : rest > 0 ? `${raw.slice(0, MAX_SHOWN)}\n… ${rest.toLocaleString()} more characters` : raw);
  }

  async #copy() {
    const done = await navigator.clipboard?.writeText(this.#raw).then(() => true, () => false);
    setText(byId("detail-copy"), done ? "Copied" : "Could not copy");
  }
}
