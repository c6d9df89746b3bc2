"""discord.py: becomes ready, writes, reacts, and prints what it sees and the number of every dispatch."""

import json
import os

import discord
import yarl

URL = os.environ["SANDBOX_URL"]
discord.http.Route.BASE = f"{URL}/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(URL.replace("http", "ws"))
intents = discord.Intents.default()
intents.members = intents.message_content = True
client = discord.Client(intents=intents, enable_debug_events=True)


def say(**line):
    print(json.dumps(line), flush=True)


@client.event
async def on_socket_raw_receive(text):
    if s := json.loads(text)["s"]:
        say(s=s)


@client.event
async def on_ready():
    say(saw="ready")
    channel = client.get_channel(int(os.environ["SANDBOX_CHANNEL"]))
    message = await channel.send("hello from discord.py")
    await message.add_reaction("🎉")


@client.event
async def on_message(message):
    if message.author == client.user:
        say(saw="message")


@client.event
async def on_raw_reaction_add(event):
    if event.user_id == client.user.id:
        say(saw="reaction")


client.run(os.environ["SANDBOX_TOKEN"])
