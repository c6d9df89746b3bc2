/** The voice channels as cards, with the people in them. Redrawn a few times a second; moves are animated. */

import { nameOf } from "./describe.js";
import { avatar, byId, el, icon, setText } from "./dom.js";

const REDRAW_MS = 150;
/** More who come or move within a second are a crowd; animating each would only flicker. */
const MAX_ANIMATED = 6;
const CROWD_MS = 1000;
const MAX_SHOWN = 60;
const MOVE = { duration: 320, easing: "cubic-bezier(.2,.7,.2,1)" };

export class Rooms {
  #roster;
  #places;
  #viewer;
  #cards = new Map(); // channel id → card
  #headings = new Map(); // text → element
  #people = new Map(); // "guild/user" → { element, member, channelId }
  #changes = []; // when people came or moved, of the last second
  #timer;
  #known = false; // whether the roster has been told of anything
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  /** `places` orders and names channels; `viewer` is the id of who is signed in. */
  constructor(roster, places, viewer) {
    this.#roster = roster;
    this.#places = places;
    this.#viewer = viewer;
    roster.subscribe(() => {
      this.#known = true;
      this.#later();
    });
  }

  /** Channels have other names or another order. */
  refresh() {
    if (this.#known) this.#later();
  }

  #later() {
    this.#timer ??= setTimeout(() => requestAnimationFrame(() => this.#draw()), REDRAW_MS);
  }

  #draw() {
    this.#timer = undefined;
    const channels = this.#roster.getSnapshot().map((channel) => ({ channel, ...this.#places.place(channel.channelId) }));
    channels.sort((one, other) => (one.rank === other.rank ? 0 : one.rank - other.rank));
    const seats = new Map(channels.flatMap(({ channel }) => channel.members.map((member) => [keyOf(channel, member), channel.channelId])));
    const movers = this.#movers(seats);
    const newcomers = this.#newcomers(seats);
    const isAnimated = this.#isCalm(movers.length + newcomers.length);
    const before = isAnimated ? movers.map((person) => person.element.getBoundingClientRect()) : [];

    this.#dropCards(channels);
    for (const { channel, name } of channels) this.#drawCard(channel, name ?? channel.name);
    this.#dropPeople(seats);
    this.#arrange(channels);
    this.#count(channels);

    if (!isAnimated) return;
    movers.forEach((person, at) => slide(person.element, before[at], person.element.getBoundingClientRect()));
    for (const key of newcomers) appear(this.#people.get(key)?.element);
  }

  #movers(seats) {
    const moved = [...this.#people].filter(([key, person]) => person.element.isConnected && seats.has(key) && seats.get(key) !== person.channelId);
    return moved.map(([, person]) => person);
  }

  /** Who has just come; at the first drawing nobody has. */
  #newcomers(seats) {
    return this.#people.size ? [...seats.keys()].filter((key) => !this.#people.has(key)) : [];
  }

  #isCalm(changes) {
    const now = Date.now();
    const recent = this.#changes.filter((at) => now - at < CROWD_MS);
    this.#changes = [...recent, ...Array(changes).fill(now)].slice(-MAX_ANIMATED - 1);
    return this.#changes.length <= MAX_ANIMATED && !this.#still.matches && !document.hidden;
  }

  #drawCard(channel, name) {
    let card = this.#cards.get(channel.channelId);
    if (!card) this.#cards.set(channel.channelId, (card = newCard(() => this.#showAll(channel.channelId))));
    setText(card.name, name ?? "Unnamed channel");
    if (card.channel === channel) return;
    card.channel = channel;
    const { members, userLimit } = channel;
    setText(card.count, userLimit ? `${members.length} / ${userLimit}` : String(members.length));
    card.count.setAttribute("aria-label", `${members.length} here${userLimit ? `, room for ${userLimit}` : ""}`);
    card.element.classList.toggle("is-empty", members.length === 0);
    const shown = card.all ? members : members.slice(0, MAX_SHOWN);
    const elements = shown.map((member) => this.#drawPerson(channel, member));
    elements.forEach((element, at) => card.list.children[at] === element || card.list.insertBefore(element, card.list.children[at] ?? null));
    while (card.list.children.length > elements.length) card.list.lastChild.remove();
    card.more.hidden = shown.length === members.length;
    setText(card.more, `Show all ${members.length}`);
  }

  #drawPerson(channel, member) {
    const key = keyOf(channel, member);
    const person = this.#people.get(key) ?? { element: el("li", { className: "person" }) };
    this.#people.set(key, person);
    person.channelId = channel.channelId;
    if (person.member === member) return person.element;
    if (!person.member || person.member.avatar !== member.avatar || nameOf(person.member) !== nameOf(member)) {
      person.marks = el("span", { className: "marks" });
      const you = member.userId === this.#viewer ? [el("span", { className: "you" }, "you")] : [];
      person.element.replaceChildren(avatar(member), el("bdi", { className: "name", title: nameOf(member) }, nameOf(member)), ...you, person.marks);
    }
    person.member = member;
    person.marks.replaceChildren(...marksOf(member));
    return person.element;
  }

  #showAll(channelId) {
    const card = this.#cards.get(channelId);
    card.all = true;
    card.channel = undefined;
    this.#draw();
  }

  #dropCards(channels) {
    const ids = new Set(channels.map(({ channel }) => channel.channelId));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
  }

  #dropPeople(seats) {
    for (const [key, { element }] of this.#people) {
      if (seats.has(key)) continue;
      element.remove();
      this.#people.delete(key);
    }
  }

  /** Cards in Discord's order, under their headings. A lone heading says nothing and is not shown. */
  #arrange(channels) {
    const headings = [...new Set(channels.map(({ heading }) => heading))];
    for (const [text, element] of this.#headings) if (!headings.includes(text)) element.remove();
    this.#headings = new Map(headings.map((text) => [text, this.#headings.get(text) ?? el("h3", { className: "heading", dir: "auto" }, text || "Other channels")]));
    for (const element of this.#headings.values()) element.classList.toggle("visually-hidden", headings.length < 2);
    const order = headings.flatMap((text) => [this.#headings.get(text), ...channels.filter(({ heading }) => heading === text).map(({ channel }) => this.#cards.get(channel.channelId).element)]);
    const grid = byId("cards");
    order.forEach((element, at) => grid.children[at] === element || grid.insertBefore(element, grid.children[at] ?? null));
  }

  #count(channels) {
    const people = channels.reduce((sum, { channel }) => sum + channel.members.length, 0);
    const many = (count, one, more) => (count === 1 ? `1 ${one}` : `${count || "no"} ${more}`);
    setText(byId("rooms-count"), channels.length ? `${many(people, "person", "people")} in ${many(channels.length, "channel", "channels")}` : "");
    byId("rooms-empty").hidden = channels.length > 0;
    byId("rooms-loading").hidden = true;
  }
}

function newCard(showAll) {
  const card = {
    name: el("h4", { dir: "auto" }),
    count: el("span", { className: "count" }),
    list: el("ul"),
    more: el("button", { className: "button more", hidden: true, onclick: showAll }),
  };
  card.count.setAttribute("role", "img"); // so that its label is read in place of "2 / 5"
  card.element = el("article", { className: "card" }, el("header", {}, icon("voice"), card.name, card.count), card.list, card.more);
  return card;
}

/** Discord's gateway does not say who is speaking, only who could: a stage's audience can't. */
function marksOf(member) {
  const marks = [];
  if (member.selfStream) marks.push(icon("streaming", "sharing their screen"));
  if (member.selfVideo) marks.push(icon("camera", "camera on"));
  if (member.suppress) marks.push(icon("audience", "in the audience"));
  else if (member.deaf || member.selfDeaf) marks.push(icon("deafened", member.deaf ? "deafened by the server" : "deafened"));
  else if (member.mute || member.selfMute) marks.push(icon("muted", member.mute ? "muted by the server" : "muted"));
  return marks;
}

/** FLIP: it is where it belongs already, and only looks as if it came from where it was. */
function slide(element, from, to) {
  const x = from.left - to.left;
  const y = from.top - to.top;
  if (x || y) element.animate([{ transform: `translate(${x}px, ${y}px)`, zIndex: 1 }, { transform: "none", zIndex: 1 }], MOVE);
}

function appear(element) {
  element?.animate([{ opacity: 0, transform: "scale(.96)" }, { opacity: 1, transform: "none" }], MOVE);
}

function keyOf({ guildId }, { userId }) {
  return `${guildId}/${userId}`;
}
