"""What the member sends: pictures and a tone that it makes itself. Knows no room."""

import array
import asyncio
import fractions
import math
import time

import av
from aiortc import MediaStreamTrack

PICTURES = 15  # a second
RATE = 48000
SOUND = RATE // 50  # samples a packet


class Picture(MediaStreamTrack):
    """A pattern that moves."""

    kind = "video"

    def __init__(self, width, height):
        super().__init__()
        self.width, self.height, self.count, self.start = width, height, 0, None

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(self.start + self.count / PICTURES - time.monotonic())
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, step in zip(frame.planes, (3, 1, 1)):
            row = bytes((x + self.count * step) % 256 for x in range(plane.line_size))
            plane.update(row * plane.height)
        frame.pts, frame.time_base = self.count * 90000 // PICTURES, fractions.Fraction(1, 90000)
        self.count += 1
        return frame


class Tone(MediaStreamTrack):
    """440 Hz."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.count, self.start = 0, None

    async def recv(self):
        self.start = self.start or time.monotonic()
        await asyncio.sleep(self.start + self.count * SOUND / RATE - time.monotonic())
        first = self.count * SOUND
        wave = (int(8000 * math.sin(2 * math.pi * 440 * (first + n) / RATE)) for n in range(SOUND))
        frame = av.AudioFrame(format="s16", layout="mono", samples=SOUND)
        frame.planes[0].update(array.array("h", wave).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, fractions.Fraction(1, RATE)
        self.count += 1
        return frame


def of(source):
    """What a camera, a microphone or a screen shows or says."""
    return {"camera": lambda: Picture(320, 240), "screen": lambda: Picture(640, 360)}.get(source, Tone)()
