/**
 * Who sits in which voice channel. Channels are replaced, never changed in place, so a view may compare them by
 * identity; `subscribe` and `getSnapshot` are what React's useSyncExternalStore asks for.
 */

const FLAGS = ["mute", "deaf", "suppress", "self_mute", "self_deaf", "self_video", "self_stream"];

export class VoiceRoster {
  #only;
  #channels = new Map();
  #seats = new Map(); // "guild/user" → channel id
  #listeners = new Set();
  #list;

  /** `only` are the guilds and channels to show; null is all of them. */
  constructor(only = {}) {
    this.#only = only;
  }

  getSnapshot = () => (this.#list ??= [...this.#channels.values()]);

  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Takes the snapshots of some guilds as the truth about them. */
  reset(snapshots) {
    for (const { guildId, channels } of snapshots) {
      this.#forget((channel) => channel.guildId === guildId);
      if (!this.#follows(guildId)) continue;
      for (const channel of channels) {
        if (!this.#shows(channel.channelId)) continue;
        this.#channels.set(channel.channelId, { guildId, ...channel });
        for (const { userId } of channel.members) this.#seats.set(`${guildId}/${userId}`, channel.channelId);
      }
    }
    this.#changed();
  }

  /** Applies one event of the stream; others than those of voice and rooms are ignored. */
  apply({ event, payload }) {
    if (!payload) return;
    const { guildId = payload.guild_id, channelId = payload.channel_id, userId = payload.user_id } = payload;
    if (!this.#follows(guildId)) return;
    const known = this.#channels.get(channelId ?? payload.id);
    if (/^voice\.(joined|left|moved)$/.test(event) || (event === "VOICE_STATE_UPDATE" && guildId)) {
      this.#seat(guildId, userId, channelId, event === "VOICE_STATE_UPDATE" ? stateOf(payload) : personOf(payload));
    } else if (event === "room.created" && this.#shows(channelId)) {
      this.#channels.set(channelId, { members: [], ...known, ...payload });
    } else if (event === "room.deleted") this.#forget((channel) => channel === known);
    else if (event === "CHANNEL_UPDATE" && known) {
      const { name, parent_id: parentId, user_limit: userLimit } = payload;
      this.#channels.set(payload.id, { ...known, name, parentId, userLimit });
    } else if (event === "GUILD_DELETE" && !payload.unavailable) this.#forget((channel) => channel.guildId === payload.id);
    else return;
    this.#changed();
  }

  /** The channel someone is known to sit in. */
  seatOf(guildId, userId) {
    return this.#seats.get(`${guildId}/${userId}`);
  }

  clear() {
    this.#channels.clear();
    this.#seats.clear();
    this.#changed();
  }

  #seat(guildId, userId, channelId, about) {
    const key = `${guildId}/${userId}`;
    const before = this.#find(key);
    const stays = before && before.channelId === channelId;
    if (before && !stays) {
      this.#seats.delete(key);
      this.#update(before.channelId, (members) => members.filter((member) => member !== before.member));
    }
    if (!channelId || !this.#shows(channelId)) return;
    const member = { userId, username: null, displayName: null, avatar: null, ...before?.member, ...about };
    this.#seats.set(key, channelId);
    if (!this.#channels.has(channelId))
      this.#channels.set(channelId, { guildId, channelId, name: null, parentId: null, userLimit: 0, members: [] });
    this.#update(channelId, (members) =>
      stays ? members.map((other) => (other === before.member ? member : other)) : [...members, member],
    );
  }

  #find(key) {
    const channelId = this.#seats.get(key);
    const member = this.#channels.get(channelId)?.members.find(({ userId }) => key.endsWith(`/${userId}`));
    return member && { channelId, member };
  }

  #update(channelId, change) {
    const channel = this.#channels.get(channelId);
    this.#channels.set(channelId, { ...channel, members: change(channel.members) });
  }

  #forget(matches) {
    for (const channel of this.#channels.values()) {
      if (!matches(channel)) continue;
      this.#channels.delete(channel.channelId);
      for (const { userId } of channel.members) this.#seats.delete(`${channel.guildId}/${userId}`);
    }
  }

  #follows(guildId) {
    return !this.#only.guild || !guildId || this.#only.guild.includes(guildId);
  }

  #shows(channelId) {
    return !this.#only.channel || this.#only.channel.includes(channelId);
  }

  #changed() {
    this.#list = undefined;
    for (const listener of this.#listeners) listener(this.getSnapshot());
  }
}

function personOf({ channelId, username, displayName, avatar }) {
  return channelId && { username, ...(displayName && { displayName }), avatar };
}

/** A raw voice state in the roster's words; the avatar's address is left to the derived event that follows. */
function stateOf({ member, ...payload }) {
  const camel = (name) => name.replace(/_(.)/, (_, letter) => letter.toUpperCase());
  const about = Object.fromEntries(FLAGS.map((flag) => [camel(flag), Boolean(payload[flag])]));
  const { username, global_name: globalName } = member?.user ?? {};
  return username ? { ...about, username, displayName: member.nick ?? globalName ?? username } : about;
}
