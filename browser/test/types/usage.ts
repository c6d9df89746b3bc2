// Compiled, never run: what a caller may write, and what the types refuse.
import { CommandError, connect, type StreamEvent, type VoiceChannel } from "guildstream";

const stream = connect({ url: "/api/stream", events: ["voice.*"], onStatus: ({ state }) => state === "signed-out" });

stream.on("voice.joined", ({ id, payload }) => {
  const name: string | null = payload.username;
  // @ts-expect-error: no such field
  payload.usrname;
  return [id, name];
});
stream.on("voice.left", ({ payload }) => {
  const nowhere: null = payload.channelId;
  return nowhere;
});
stream.on("A_NEW_EVENT", ({ payload, raw }) => [payload.anything, raw.length]);
stream.on("*", (event: StreamEvent) => event.payload);
stream.on("status", ({ attempt }) => attempt.toFixed());
stream.on("resync", ({ code }) => code === "RESYNC");

stream.send("move_member", { guildId: "1", userId: "2", channelId: null }).catch((error: CommandError) => error.retryAfterMs);

const channels: readonly VoiceChannel[] = stream.voice.getSnapshot();
channels[0]?.members[0]?.username?.toUpperCase();
// @ts-expect-error: the roster is not for writing
channels[0]?.members.push({});
