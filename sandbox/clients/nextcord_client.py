"""nextcord: becomes ready, writes, reacts, and prints what it sees and the number of every dispatch."""

import json
import logging
import os

import nextcord

nextcord.http.Route.BASE = os.environ["SANDBOX_URL"] + "/api/v10"
intents = nextcord.Intents.default()
intents.members = intents.message_content = True
client = nextcord.Client(intents=intents, enable_debug_events=True)
logging.basicConfig(level=logging.INFO)


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
    message = await channel.send("hello from nextcord")
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
