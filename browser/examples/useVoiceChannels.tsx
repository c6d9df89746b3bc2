import { useEffect, useState, useSyncExternalStore } from "react";
import { connect, type StreamStatus } from "guildstream";

// One stream for the whole application; tabs share it too.
const stream = connect({ url: "/api/stream", events: ["voice.*", "room.*"] });

/** The voice channels and the state of the connection, kept up to date. */
export function useVoiceChannels() {
  const channels = useSyncExternalStore(stream.voice.subscribe, stream.voice.getSnapshot);
  const [status, setStatus] = useState<StreamStatus>(stream.status);
  useEffect(() => stream.on("status", setStatus), []);
  return { channels, status };
}

export function WhoIsTalking() {
  const { channels, status } = useVoiceChannels();
  if (status.state === "signed-out") return <a href="/auth/login?next=/">Sign in with Discord</a>;
  return <ul>{channels.map(({ channelId, name, members }) => <li key={channelId}>{name}: {members.length}</li>)}</ul>;
}
