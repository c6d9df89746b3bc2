/**
 * The live events, newest first: a virtual list over the last few thousand, so that the page holds a few dozen rows
 * however many events come. It stands still while someone reads it: paused, scrolled away, or with a row in focus.
 */

import { channelOf, summaryOf } from "./describe.js";
import { byId, el, fillSelect, icon, setText } from "./dom.js";

const KEPT = 3000;
const REDRAW_MS = 150;
const SPARE_ROWS = 6;
const RATE_WINDOW_S = 3;
/** Types of events that are chosen together. */
const KINDS = [
  ["voice", "Voice", /^(voice\.|room\.|VOICE_)/],
  ["message", "Messages", /^(MESSAGE_|TYPING_)/],
];

export class Feed {
  #names;
  #open;
  #all = []; // oldest first
  #matching = [];
  #view = []; // what is shown: #matching itself, or a copy while it stands still
  #missed = 0;
  #rows = [];
  #active = null;
  #paused = false;
  #types = new Set();
  #channels = new Set(); // those that events have come from
  #counts = [];
  #timer;
  #viewport = byId("feed");
  #list = byId("feed-rows");
  #rowHeight = 0;

  /** `names` knows channels and people; `open` shows an event in full. */
  constructor(names, open) {
    this.#names = names;
    this.#open = open;
    this.#view = this.#matching;
    this.#viewport.addEventListener("scroll", () => this.#settle(), { passive: true });
    this.#viewport.addEventListener("keydown", (event) => this.#key(event));
    this.#viewport.addEventListener("focusout", () => requestAnimationFrame(() => this.#settle()));
    this.#list.addEventListener("click", ({ target }) => this.#openRow(target.closest("li")));
    byId("pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("newer").addEventListener("click", () => this.#resume());
    for (const id of ["filter-type", "filter-channel"]) byId(id).addEventListener("change", () => this.#refilter());
    new ResizeObserver(() => this.#later()).observe(this.#viewport);
    setInterval(() => this.#measureRate(), 1000);
    this.refreshFilters();
  }

  add(event) {
    const type = event.event;
    const entry = { type, kind: kindOf(type), channelId: channelOf(event), summary: summaryOf(event, this.#names), at: Date.now(), source: event };
    this.#all.push(entry);
    if (this.#all.length > 2 * KEPT) this.#all.splice(0, KEPT);
    this.#counts[this.#counts.length - 1]++;
    this.#types.add(entry.type);
    if (entry.channelId) this.#channels.add(entry.channelId);
    if (!this.#matches(entry)) return;
    this.#matching.push(entry);
    if (this.#isStill()) this.#missed++;
    else if (this.#matching.length > 2 * KEPT) this.#matching.splice(0, KEPT);
    this.#later();
  }

  /** Names and types became known. */
  refreshFilters() {
    const types = [...this.#types].sort().map((type) => [type, type]);
    const known = this.#names.all();
    const others = [...this.#channels].filter((id) => known.every(([other]) => other !== id)).map((id) => [id, this.#names.channelName(id)]);
    fillSelect(byId("filter-type"), [["", "All types"], ...KINDS.map(([kind, label]) => [kind, label]), ...types]);
    fillSelect(byId("filter-channel"), [["", "All channels"], ...known, ...others]);
  }

  #matches({ type, kind, channelId }) {
    const [wanted, channel] = [byId("filter-type").value, byId("filter-channel").value];
    return (!wanted || type === wanted || kind === wanted) && (!channel || channelId === channel);
  }

  #refilter() {
    this.#matching = this.#all.filter((entry) => this.#matches(entry));
    this.#view = this.#isStill() ? [...this.#matching] : this.#matching;
    this.#missed = 0;
    this.#viewport.scrollTop = 0;
    this.#draw();
  }

  #isStill() {
    return this.#view !== this.#matching;
  }

  /** Decides whether to stand still, after a scroll, a key or a change of focus. */
  #settle() {
    const reading = this.#paused || this.#viewport.scrollTop > 4 || this.#list.contains(document.activeElement) || document.querySelector("dialog[open]");
    if (reading && !this.#isStill()) this.#view = [...this.#matching];
    else if (!reading && this.#isStill()) return this.#resume();
    this.#draw();
  }

  #pause(paused) {
    this.#paused = paused;
    byId("pause").classList.toggle("on", paused);
    setText(byId("pause"), paused ? "Resume" : "Pause");
    if (paused) this.#settle();
    else this.#resume();
  }

  #resume() {
    if (this.#paused) return this.#pause(false);
    if (this.#list.contains(document.activeElement)) this.#viewport.focus({ preventScroll: true });
    this.#matching = this.#matching.slice(-KEPT);
    this.#view = this.#matching;
    this.#missed = 0;
    this.#active = null;
    this.#viewport.scrollTop = 0;
    this.#draw();
  }

  #later() {
    this.#timer ??= setTimeout(() => requestAnimationFrame(() => this.#draw()), REDRAW_MS);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const total = this.#view.length;
    this.#rowHeight ||= this.#measureRow();
    const first = Math.max(0, Math.floor(this.#viewport.scrollTop / this.#rowHeight) - SPARE_ROWS);
    const visible = Math.min(total - first, Math.ceil(this.#viewport.clientHeight / this.#rowHeight) + 2 * SPARE_ROWS);
    const height = `${total * this.#rowHeight}px`;
    if (this.#list.style.height !== height) this.#list.style.height = height;
    while (this.#rows.length < visible) this.#rows.push(this.#newRow());
    this.#rows.forEach((row, slot) => {
      // An event keeps its row while it stands still, so that focus stays with it.
      const index = first + ((((slot - first) % this.#rows.length) + this.#rows.length) % this.#rows.length);
      this.#fill(row, index < first + visible ? index : null);
    });
    byId("feed-empty").hidden = total > 0;
    setText(byId("feed-empty"), this.#all.length ? "Nothing of this kind yet." : "Nothing yet. Events show up here as they happen.");
    const newer = byId("newer");
    newer.hidden = !this.#missed;
    if (this.#missed) setText(newer, `${this.#missed.toLocaleString()} newer`);
  }

  #measureRow() {
    const row = this.#newRow();
    const height = row.element.offsetHeight || 34;
    row.element.remove();
    addEventListener("resize", () => (this.#rowHeight = 0), { once: true });
    return height;
  }

  #newRow() {
    const row = { icon: icon("other"), what: el("span", { className: "what" }), time: el("span", { className: "time" }), type: el("span", { className: "type" }), where: el("span", { className: "where" }) };
    row.button = el("button", { className: "row", tabIndex: -1 }, row.icon, row.what, row.time, el("span", { className: "about" }, row.type, row.where));
    row.element = el("li", {}, row.button);
    this.#list.append(row.element);
    return row;
  }

  #fill(row, index) {
    const entry = index === null ? null : this.#view[this.#view.length - 1 - index];
    if (row.element.hidden !== !entry) row.element.hidden = !entry;
    if (!entry) return;
    if (row.index !== index || row.height !== this.#rowHeight) {
      row.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
      row.element.setAttribute("aria-posinset", index + 1);
      Object.assign(row, { index, height: this.#rowHeight });
    }
    if (row.total !== this.#view.length) row.element.setAttribute("aria-setsize", (row.total = this.#view.length));
    if (row.entry === entry) return;
    row.entry = entry;
    setText(row.time, TIME.format(entry.at));
    setText(row.type, entry.type);
    setText(row.what, entry.summary || "\u00a0");
    setText(row.where, entry.channelId ? this.#names.channelName(entry.channelId) : "");
    if (row.kind === entry.kind) return;
    row.icon.lastChild.setAttribute("href", `#i-${entry.kind}`);
    row.button.dataset.kind = row.kind = entry.kind;
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.#viewport.clientHeight / this.#rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.#view.length) return;
    event.preventDefault();
    if (!this.#isStill()) this.#view = [...this.#matching];
    const from = this.#active ?? (steps[event.key] > 0 ? -1 : 0);
    this.#active = Math.min(this.#view.length - 1, Math.max(0, from + steps[event.key]));
    const top = this.#active * this.#rowHeight;
    const { scrollTop, clientHeight } = this.#viewport;
    if (top < scrollTop) this.#viewport.scrollTop = top;
    else if (top + this.#rowHeight > scrollTop + clientHeight) this.#viewport.scrollTop = top + this.#rowHeight - clientHeight;
    this.#draw();
    this.#rows.find((row) => row.index === this.#active && !row.element.hidden)?.button.focus({ preventScroll: true });
  }

  #openRow(element) {
    const row = this.#rows.find((candidate) => candidate.element === element);
    if (!row) return;
    this.#active = row.index;
    this.#open(row.entry.source, row.entry.at);
  }

  #measureRate() {
    const rate = this.#counts.reduce((sum, count) => sum + count, 0) / Math.max(1, this.#counts.length);
    setText(byId("feed-rate"), this.#all.length ? `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} per second` : "");
    this.#counts.push(0);
    if (this.#counts.length > RATE_WINDOW_S) this.#counts.shift();
    this.refreshFilters();
  }
}

function kindOf(type) {
  return KINDS.find(([, , pattern]) => pattern.test(type))?.[0] ?? "other";
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
