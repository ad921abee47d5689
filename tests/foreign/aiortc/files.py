"""Files over data channels: roombot-file/1 of docs/files.md, both ways. Knows no room."""

import asyncio
import hashlib
import json
import re
import secrets
from pathlib import Path

PROTOCOL = "roombot-file/1"
WINDOW = 1 << 20
BUFFER = 1 << 20
CHUNK = 64 * 1024


def messages_of(channel):
    """What arrives, in order; None at the end."""
    queue = asyncio.Queue()
    channel.on("message", queue.put_nowait)
    channel.on("close", lambda: queue.put_nowait(None))
    return queue


async def send(channel, path):
    """Sends a file over a channel of its own. Gives the receiver's hash, or fails with its word for why not."""
    content = Path(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    messages, opened, changed = messages_of(channel), asyncio.Event(), asyncio.Event()
    channel.bufferedAmountLowThreshold = BUFFER // 2
    channel.on("bufferedamountlow", changed.set)
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()
    offer = {"type": "offer", "id": secrets.token_hex(16), "name": Path(path).name, "size": len(content)}
    channel.send(json.dumps(offer))
    at, until = 0, 0

    async def send_on():
        """From where they want it: as far as they allow, and as the channel takes it."""
        nonlocal at
        while at < len(content):
            if at < until and channel.bufferedAmount < BUFFER:
                chunk = content[at : min(at + CHUNK, until)]
                at += len(chunk)
                channel.send(chunk)
                await asyncio.sleep(0)
            else:
                changed.clear()
                await changed.wait()
        channel.send(json.dumps({"type": "end", "sha256": digest}))

    sending = None
    try:
        while (text := await messages.get()) is not None:
            message = json.loads(text)
            if message["type"] in ("accept", "again"):
                at, until = message["offset"], message["until"]
                if sending is not None:
                    sending.cancel()
                sending = asyncio.ensure_future(send_on())
            elif message["type"] == "more":
                until = message["until"]
                changed.set()
            elif message["type"] == "ack":
                return message["sha256"]
            elif message["type"] in ("refuse", "cancel"):
                raise RuntimeError(message["reason"])
        raise RuntimeError("the channel was closed")
    finally:
        if sending is not None:
            sending.cancel()
        channel.close()


async def receive(channel, folder):
    """Takes what is offered on a channel, and gives name, bytes and hash; or fails with a reason."""
    messages = messages_of(channel)
    offer = json.loads(await messages.get())
    if offer["type"] != "offer":
        raise RuntimeError("bad-offer")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", offer["name"].rsplit("/", 1)[-1]).lstrip(".") or "file"
    digest, got, until = hashlib.sha256(), 0, WINDOW
    with open(Path(folder) / name, "xb") as file:
        channel.send(json.dumps({"type": "accept", "offset": 0, "until": until}))
        while True:
            message = await messages.get()
            if message is None:
                raise RuntimeError("the channel was closed")
            if isinstance(message, bytes):
                got += len(message)
                if got > min(until, offer["size"]):
                    channel.send(json.dumps({"type": "refuse", "reason": "flood", "text": "too much"}))
                    raise RuntimeError("flood")
                file.write(message)
                digest.update(message)
                if until - got < WINDOW // 2 and until < offer["size"]:
                    until = got + WINDOW
                    channel.send(json.dumps({"type": "more", "until": until}))
                continue
            message = json.loads(message)
            if message["type"] == "cancel":
                raise RuntimeError(message["reason"])
            if message["type"] == "end":
                break
    if got != offer["size"] or message["sha256"] != digest.hexdigest():
        channel.send(json.dumps({"type": "refuse", "reason": "mismatch", "text": "size or hash differ"}))
        raise RuntimeError("mismatch")
    channel.send(json.dumps({"type": "ack", "sha256": digest.hexdigest()}))
    return name, got, digest.hexdigest()
