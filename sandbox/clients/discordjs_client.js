// discord.js: becomes ready, writes, reacts, and prints what it sees and the number of every dispatch.
const { Client, GatewayIntentBits } = require("discord.js");

const { SANDBOX_URL, SANDBOX_TOKEN, SANDBOX_CHANNEL } = process.env;
const say = (line) => console.log(JSON.stringify(line));
const { Guilds, GuildMembers, GuildMessages, GuildMessageReactions, GuildVoiceStates, MessageContent } = GatewayIntentBits;
const client = new Client({
  rest: { api: `${SANDBOX_URL}/api` },
  intents: [Guilds, GuildMembers, GuildMessages, GuildMessageReactions, GuildVoiceStates, MessageContent],
});

client.on("raw", ({ s }) => s && say({ s }));
client.on("warn", (note) => say({ note }));
client.on("error", (error) => say({ note: String(error) }));
client.on("clientReady", async () => {
  say({ saw: "ready" });
  const channel = await client.channels.fetch(SANDBOX_CHANNEL);
  const message = await channel.send("hello from discord.js");
  await message.react("🎉");
});
client.on("messageCreate", ({ author }) => author.id === client.user.id && say({ saw: "message" }));
client.on("messageReactionAdd", (_, user) => user.id === client.user.id && say({ saw: "reaction" }));
client.login(SANDBOX_TOKEN);
