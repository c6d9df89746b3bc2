/** The voice channels as cards, with the people in them. Redrawn a few times a second; moves are animated. */

import { avatar, byId, el, icon, nameOf, setText } from "./dom.js";

const REDRAW_MS = 150;
/** More at once is a crowd; animating each would only flicker. */
const MAX_ANIMATED = 6;
const MAX_SHOWN = 60;
const MOVE = { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" };

export class Rooms {
  #roster;
  #cards = new Map(); // channel id → card
  #people = new Map(); // "guild/user" → { element, member, channelId }
  #timer;
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(roster) {
    this.#roster = roster;
    roster.subscribe(() => (this.#timer ??= setTimeout(() => requestAnimationFrame(() => this.#draw()), REDRAW_MS)));
    this.#draw();
  }

  #draw() {
    this.#timer = undefined;
    const channels = this.#roster.getSnapshot();
    const seats = new Map(channels.flatMap((channel) => channel.members.map((member) => [keyOf(channel, member), channel.channelId])));
    const movers = this.#movers(seats);
    const before = movers.map((person) => person.element.getBoundingClientRect());

    this.#dropCards(channels);
    for (const channel of channels) this.#drawCard(channel);
    this.#dropPeople(seats);
    this.#arrange(channels);
    this.#count(channels);

    movers.forEach((person, at) => slide(person.element, before[at], person.element.getBoundingClientRect()));
  }

  #movers(seats) {
    if (this.#still.matches || document.hidden) return [];
    const moved = [...this.#people].filter(([key, person]) => person.element.isConnected && seats.has(key) && seats.get(key) !== person.channelId);
    return moved.length > MAX_ANIMATED ? [] : moved.map(([, person]) => person);
  }

  #drawCard(channel) {
    let card = this.#cards.get(channel.channelId);
    if (!card) this.#cards.set(channel.channelId, (card = newCard(() => this.#showAll(channel.channelId))));
    if (card.channel === channel) return;
    card.channel = channel;
    const { name, members, userLimit } = channel;
    setText(card.name, name ?? "Unnamed channel");
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
    const { avatar: address, username } = person.member ?? {};
    if (!person.member || address !== member.avatar || username !== member.username) {
      person.marks = el("span", { className: "marks" });
      person.element.replaceChildren(avatar(member), el("span", { className: "name", dir: "auto" }, nameOf(member)), person.marks);
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
    const ids = new Set(channels.map(({ channelId }) => channelId));
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

  #arrange(channels) {
    const grid = byId("cards");
    channels.forEach(({ channelId }, at) => {
      const { element } = this.#cards.get(channelId);
      if (grid.children[at] !== element) grid.insertBefore(element, grid.children[at] ?? null);
    });
  }

  #count(channels) {
    const people = channels.reduce((sum, { members }) => sum + members.length, 0);
    setText(byId("rooms-count"), channels.length ? `${people} ${people === 1 ? "person" : "people"} in ${channels.length} ${channels.length === 1 ? "channel" : "channels"}` : "");
    byId("rooms-empty").hidden = channels.length > 0;
  }
}

function newCard(showAll) {
  const card = {
    name: el("h3", { dir: "auto" }),
    count: el("span", { className: "count" }),
    list: el("ul"),
    more: el("button", { className: "button more", hidden: true, onclick: showAll }),
  };
  const symbol = icon("voice", "");
  symbol.setAttribute("aria-hidden", "true");
  card.count.setAttribute("role", "img"); // so that its label is read in place of "2 / 5"
  card.element = el("article", { className: "card" }, el("header", {}, symbol, card.name, card.count), card.list, card.more);
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
  if (x || y) element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], MOVE);
}

function keyOf({ guildId }, { userId }) {
  return `${guildId}/${userId}`;
}
