/**
 * The guilds of the viewer: what channels, roles and people are called, and where the viewer may write. Asked of
 * /api/guilds, and again after any event that may have changed the answer.
 */

import { byId, colourOf, el, initialOf, setText } from "./dom.js";

const CATEGORY = 4;
/** Types that people sit in: voice and stage. https://discord.com/developers/docs/resources/channel#channel-object-channel-types */
const VOICE_TYPES = [2, 13];
/** Changes come in bursts, such as a category with its channels. */
const SETTLE_MS = 500;
const ASK_AGAIN_MS = 4_000;
/** People and channels that events have named; with more, the list begins anew. */
const MAX_NAMES = 10_000;
const CHANGES = /^(CHANNEL_(CREATE|UPDATE|DELETE)|GUILD_UPDATE|GUILD_ROLE_(CREATE|UPDATE|DELETE))$/;

export class Guilds {
  /** Called when names or rights have changed. */
  onChange = () => {};
  #viewer;
  #guilds = [];
  #channels = new Map(); // id → channel, with the rank it has in Discord's list
  #roles = new Map();
  #others = new Map(); // names of threads and of channels that came or went
  #people = new Map();
  #timer;
  #asked = 0;

  /** `viewer` is the id of who is signed in. */
  constructor(viewer) {
    this.#viewer = viewer;
  }

  async load() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const answer = await fetch("/api/guilds", { cache: "no-store" }).catch(() => undefined);
    if (answer?.status === 401) return; // the stream will hear it too
    const body = answer?.ok && (await answer.json().catch(() => undefined));
    if (asked !== this.#asked) return; // a later answer is newer
    if (!body) return this.#later(ASK_AGAIN_MS);
    this.#take(body.guilds);
    this.onChange();
  }

  /** Learns from an event. */
  hear({ event, payload }) {
    if (!payload) return;
    const isOwn = event === "GUILD_MEMBER_UPDATE" && payload.user?.id === this.#viewer;
    // A snapshot comes first, after a gap, and when the viewer can view other channels than before.
    if (isOwn || event === "voice.snapshot" || CHANGES.test(event)) this.#later(SETTLE_MS);
    if (/^(CHANNEL|THREAD)_(CREATE|UPDATE|DELETE)$/.test(event)) remember(this.#others, payload.id, labelOf(payload));
    if (event === "voice.snapshot") for (const { members } of payload.channels) for (const member of members) this.#meet(member);
    else this.#meet(payload);
  }

  channelName(id) {
    return labelOf(this.#channels.get(id) ?? {}) ?? this.#others.get(id) ?? `channel …${id.slice(-4)}`;
  }

  /** Undefined for someone whom no event has named yet. */
  personName(id) {
    return this.#people.get(id);
  }

  roleName(id) {
    return this.#roles.get(id);
  }

  /** Where a channel stands: what it is called, the heading it is under, and its place among all. */
  place(id) {
    const channel = this.#channels.get(id);
    const heading = [this.#guilds.length > 1 && channel?.guild.name, this.#channels.get(channel?.parentId)?.name];
    return { name: channel?.name, heading: heading.filter(Boolean).join(" · "), rank: channel?.rank ?? Infinity };
  }

  /** All channels that hold messages or people, as pairs of id and name. */
  all() {
    return this.#pairs(({ type }) => type !== CATEGORY);
  }

  /** Those the viewer may write in. */
  writable() {
    return this.#pairs(({ canSend }) => canSend);
  }

  #later(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), delay);
  }

  #take(guilds) {
    this.#guilds = guilds;
    const channels = guilds.flatMap((guild) => guild.channels.map((channel) => ({ ...channel, guild })));
    this.#channels = new Map(channels.map((channel) => [channel.id, channel]));
    // As Discord shows them: under their categories, those without one first, and text above voice.
    const order = ({ guild, parentId, type, position }) => [guilds.indexOf(guild), this.#channels.get(parentId)?.position ?? -1, VOICE_TYPES.includes(type), position];
    channels.sort((one, other) => compare(order(one), order(other)));
    channels.forEach((channel, rank) => (channel.rank = rank));
    this.#channels = new Map(channels.map((channel) => [channel.id, channel]));
    this.#roles = new Map(guilds.flatMap(({ roles }) => roles.map(({ id, name }) => [id, name])));
    this.#showHeader();
  }

  #showHeader() {
    const [first, ...others] = this.#guilds;
    if (!first) return;
    const name = first.name ?? "Unnamed server";
    setText(byId("guild-name"), name);
    setText(byId("guild-about"), others.length ? `and ${others.length} more, live with guildstream` : "live with guildstream");
    document.title = `${name} · guildstream`;
    const initial = el("span", {}, initialOf(name));
    byId("guild-icon").className = `guild-icon ${colourOf(first.id)}`;
    const picture = first.icon && el("img", { src: first.icon, alt: "", width: 40, height: 40, referrerPolicy: "no-referrer" });
    if (picture) picture.addEventListener("error", () => picture.replaceWith(initial), { once: true });
    byId("guild-icon").replaceChildren(picture || initial);
  }

  #pairs(wanted) {
    return [...this.#channels.values()].filter(wanted).map(({ id }) => [id, this.channelName(id)]);
  }

  #meet({ userId, displayName, username, author, member, user }) {
    const raw = author ?? user ?? member?.user;
    if (userId) remember(this.#people, userId, displayName ?? username);
    if (raw) remember(this.#people, raw.id, member?.nick ?? raw.global_name ?? raw.username);
  }
}

function labelOf({ name, type }) {
  return name ? `${VOICE_TYPES.includes(type) ? "" : "#"}${name}` : undefined;
}

function remember(names, id, name) {
  if (typeof id !== "string" || typeof name !== "string") return;
  if (names.size >= MAX_NAMES) names.clear();
  names.set(id, name);
}

function compare(one, other) {
  const at = one.findIndex((value, at) => value !== other[at]);
  return at < 0 ? 0 : Number(one[at]) - Number(other[at]);
}
