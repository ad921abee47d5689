"""A member of a room, written from docs/protocol.md and docs/files.md with aiortc: no line of roombot's own code was read for it.

Usage: member.py '{"room": URL, "name": NAME, "share": {"camera": "VP8", "mic": "opus"}, "files": FOLDER}'
It does what it is told by lines of JSON on its input, and tells what happens by lines of JSON on its output.
"""

import asyncio
import json
import sys

import websockets
from aiortc import RTCConfiguration, RTCBundlePolicy, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

import files
import sources


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def kind_of(source):
    return "video" if source in ("camera", "screen") else "audio"


def sends(direction):
    return direction in ("sendonly", "sendrecv")


class Peer:
    """Another member, and the connection to it."""

    def __init__(self, room, peer):
        self.room, self.id, self.name, self.role = room, peer["id"], peer["name"], peer["role"]
        self.labels = {(track["stream"], track["kind"]): track["source"] for track in peer["tracks"]}
        # Of two offers that meet, mine goes if my id is the larger one.
        self.polite = room.id.encode() > self.id.encode()
        self.pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.begun = False  # the first offer was made, by them or by me
        self.offer = None  # mine, sent and not answered: aiortc cannot take back what was applied, so it is not applied yet
        self.senders, self.counts, self.tasks = {}, {}, []
        self.chat = None
        self.todo = asyncio.Queue()  # one thing at a time
        self.pc.on("track", self.on_track)
        self.pc.on("datachannel", self.on_channel)
        self.pc.on("connectionstatechange", self.on_state)
        self.spawn(self.work())

    def spawn(self, coroutine):
        self.tasks.append(asyncio.ensure_future(coroutine))
        self.tasks[-1].add_done_callback(lambda task: task.cancelled() or task.exception() and self.room.fail(task.exception()))

    async def work(self):
        while True:
            await (await self.todo.get())()

    def do(self, coroutine):
        self.todo.put_nowait(coroutine)

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await self.pc.close()

    # ---- Negotiation

    async def call(self):
        """The first offer: candidates are in it."""
        self.begun = True
        # In this order: aiortc closes the transport if the channel was there before the tracks.
        self.put_tracks()
        self.hear(self.pc.createDataChannel("chat"))
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.offer = self.pc.localDescription
        await self.describe(self.offer)

    async def describe(self, description):
        await self.room.say({"type": "signal", "to": self.id, "description": {"type": description.type, "sdp": description.sdp}})

    async def on_description(self, description):
        theirs = RTCSessionDescription(description["sdp"], description["type"])
        if theirs.type == "offer":
            if self.offer is not None and not self.polite:
                return
            self.forget_offer()
            await self.pc.setRemoteDescription(theirs)
            self.begun = True
            # An answer carries what their sections have room for, and no more: aiortc cannot answer with other tracks added.
            self.put_tracks(self.sections_with_room())
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            await self.describe(self.pc.localDescription)
        elif self.offer is not None:
            offer, self.offer = self.offer, None
            if self.pc.signalingState == "stable":
                await self.pc.setLocalDescription(offer)
            await self.pc.setRemoteDescription(theirs)
        await self.offer_again()

    def forget_offer(self):
        if self.offer is not None:
            self.offer = None
            for transceiver in self.pc.getTransceivers():
                if transceiver.mid is None:
                    transceiver._set_mline_index(None)

    async def offer_again(self):
        """If something of mine is not in force, and the connection stands."""
        if not self.begun or self.offer is not None or self.pc.connectionState != "connected":
            return
        self.put_tracks()
        open = [t for t in self.pc.getTransceivers() if sends(t.direction) != sends(t.currentDirection)]
        if open:
            tell("offer", to=self.name)
            self.offer = await self.pc.createOffer()
            await self.describe(self.offer)

    def put_tracks(self, offered=None):
        """What is shared and what is sent become the same. `offered`: the only sections that there are, in an answer."""
        for source in list(self.senders):
            if source not in self.room.shared:
                transceiver = self.senders.pop(source)
                transceiver.sender.track.stop()
                transceiver.sender.replaceTrack(None)
                transceiver.direction = "recvonly" if transceiver.direction == "sendrecv" else "inactive"
        for source, codec in self.room.shared.items():
            if source in self.senders:
                continue
            kind = kind_of(source)
            if offered is None:
                sender = self.pc.addTrack(sources.of(source))
                transceiver = next(t for t in self.pc.getTransceivers() if t.sender is sender)
            else:
                transceiver = next((t for t in offered if t.kind == kind and not t.sender.track), None)
                if transceiver is None:
                    continue
                transceiver.sender.replaceTrack(sources.of(source))
                transceiver.direction = "sendrecv"
            # aiortc has one stream for all that is sent; the labels need one of each picture.
            transceiver.sender._stream_id = self.room.stream(source)
            known = RTCRtpSender.getCapabilities(kind).codecs
            transceiver.setCodecPreferences([one for one in known if one.mimeType.split("/")[1].lower() == codec.lower()])
            self.senders[source] = transceiver

    def sections_with_room(self):
        """Those of their offer in which they want something that I may send."""
        mids = []
        for section in self.pc.remoteDescription.sdp.split("\r\nm=")[1:]:
            lines = section.split("\r\n")
            if "a=recvonly" in lines or "a=sendrecv" in lines:
                mids += [line[6:] for line in lines if line.startswith("a=mid:")]
        return [t for t in self.pc.getTransceivers() if t.mid in mids]

    async def on_candidate(self, candidate):
        if candidate is None or not candidate["candidate"]:
            return
        parsed = candidate_from_sdp(candidate["candidate"].removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = candidate.get("sdpMid"), candidate.get("sdpMLineIndex")
        await self.pc.addIceCandidate(parsed)

    def on_state(self):
        tell("state", of=self.name, state=self.pc.connectionState)
        if self.pc.connectionState == "connected":
            self.do(self.offer_again)

    # ---- What comes

    def on_track(self, track):
        self.spawn(self.watch(track))

    async def watch(self, track):
        """Counts what is decoded, under the label of its stream and kind."""
        transceiver = next(t for t in self.pc.getTransceivers() if t.receiver.track is track)
        try:
            while True:
                frame = await track.recv()
                source = self.labels.get((self.stream_of(transceiver.mid), track.kind), "unlabelled")
                size = (frame.width, frame.height) if track.kind == "video" else (frame.sample_rate, frame.samples)
                self.counts[source] = (self.counts.get(source, (0,))[0] + 1, size)
        except Exception as error:
            tell("track-ended", of=self.name, kind=track.kind, why=type(error).__name__)

    def stream_of(self, mid):
        for section in self.pc.remoteDescription.sdp.split("\r\nm=")[1:]:
            lines = section.split("\r\n")
            if f"a=mid:{mid}" in lines:
                return next((line[7:].split(" ")[0] for line in lines if line.startswith("a=msid:")), None)

    def on_channel(self, channel):
        if channel.protocol == files.PROTOCOL:
            self.spawn(self.take(channel))
        else:
            self.hear(channel)

    def hear(self, channel):
        if channel.label == "chat":
            self.chat = channel
            channel.on("open", lambda: tell("chat-open", of=self.name))
            if channel.readyState == "open":
                tell("chat-open", of=self.name)
        channel.on("message", lambda text: tell("chat", of=self.name, text=text))

    async def take(self, channel):
        try:
            name, size, digest = await files.receive(channel, self.room.folder)
            tell("file", of=self.name, name=name, size=size, sha256=digest)
        except RuntimeError as reason:
            tell("file-failed", of=self.name, why=str(reason))

    async def send_file(self, path):
        try:
            digest = await files.send(self.pc.createDataChannel("file", protocol=files.PROTOCOL), path)
            tell("sent", to=self.name, path=path, sha256=digest)
        except RuntimeError as reason:
            tell("not-sent", to=self.name, path=path, why=str(reason))


class Room:
    """The room's server, and who is there."""

    def __init__(self, url, name, share, folder):
        self.url, self.name, self.shared, self.folder = url, name, share, folder
        self.id, self.peers, self.failure = None, {}, asyncio.get_event_loop().create_future()

    def fail(self, error):
        if not self.failure.done():
            self.failure.set_exception(error)

    def stream(self, source):
        return f"{self.name}-{'screen' if source.startswith('screen') else 'face'}"

    async def say(self, message):
        await self.socket.send(json.dumps(message))

    async def say_tracks(self):
        tracks = [{"stream": self.stream(s), "kind": kind_of(s), "source": s, "muted": False} for s in self.shared]
        await self.say({"type": "tracks", "tracks": tracks})

    async def run(self):
        async with websockets.connect(self.url, max_size=None) as self.socket:
            await self.say({"type": "join", "protocol": 1, "name": self.name, "role": "participant"})
            welcome = json.loads(await self.socket.recv())
            if welcome["type"] != "welcome":
                raise RuntimeError(welcome["message"])
            self.id = welcome["id"]
            tell("joined", id=self.id, name=welcome["name"])
            await self.say_tracks()
            for peer in welcome["peers"]:
                # Who was there before calls the newcomer, but for a recorder.
                self.meet(peer, calls=peer["role"] == "recorder")
            work = asyncio.ensure_future(self.listen())
            orders, counting = asyncio.ensure_future(self.obey()), asyncio.ensure_future(self.count())
            done, _ = await asyncio.wait([work, orders, counting, self.failure], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            tell("left")
            for peer in self.peers.values():
                await peer.close()

    def meet(self, peer, calls):
        self.peers[peer["id"]] = peer = Peer(self, peer)
        tell("peer", id=peer.id, name=peer.name, role=peer.role)
        if calls:
            peer.do(peer.call)

    async def listen(self):
        async for text in self.socket:
            message = json.loads(text)
            kind, peer = message["type"], self.peers.get(message.get("from") or message.get("id"))
            if kind == "ping":
                await self.say({"type": "pong"})
            elif kind == "peer-joined":
                self.meet(message["peer"], calls=True)
            elif kind == "peer-left" and peer:
                tell("peer-left", name=peer.name, why=message["reason"])
                await self.peers.pop(peer.id).close()
            elif kind == "tracks" and peer:
                peer.labels = {(track["stream"], track["kind"]): track["source"] for track in message["tracks"]}
                tell("labels", of=peer.name, sources=list(peer.labels.values()))
            elif kind == "signal" and peer and "description" in message:
                peer.do(lambda peer=peer, it=message["description"]: peer.on_description(it))
            elif kind == "signal" and peer:
                peer.do(lambda peer=peer, it=message.get("candidate"): peer.on_candidate(it))
            elif kind == "error":
                tell("error", code=message["code"], message=message["message"])

    async def count(self):
        while True:
            await asyncio.sleep(0.25)
            for peer in self.peers.values():
                for source, (frames, size) in peer.counts.items():
                    tell("frames", of=peer.name, source=source, frames=frames, size=size)

    async def obey(self):
        lines = asyncio.StreamReader()
        await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            order = json.loads(line)
            if order["do"] == "share":
                self.shared[order["source"]] = order["codec"]
            elif order["do"] == "unshare":
                del self.shared[order["source"]]
            elif order["do"] == "leave":
                break
            peers = [peer for peer in self.peers.values() if order.get("to") in (None, peer.name)]
            if order["do"] in ("share", "unshare"):
                await self.say_tracks()
                for peer in peers:
                    peer.do(peer.offer_again)
            for peer in peers:
                if order["do"] == "say":
                    peer.chat.send(order["text"])
                elif order["do"] == "send":
                    peer.spawn(peer.send_file(order["path"]))
        await self.say({"type": "leave"})


async def main():
    how = json.loads(sys.argv[1])
    await Room(how["room"], how["name"], how["share"], how["files"]).run()


if __name__ == "__main__":
    asyncio.run(main())
