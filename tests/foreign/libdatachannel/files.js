// Files over data channels: roombot-file/1 of docs/files.md, both ways. Knows no room.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

export const PROTOCOL = "roombot-file/1";
const WINDOW = 1 << 20;
const BUFFER = 1 << 20;
const CHUNK = 64 * 1024;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Sends a file over a channel of its own; a promise of the receiver's hash. */
export function send(channel, path) {
  const content = readFileSync(path);
  const digest = sha256(content);
  return new Promise((resolve, reject) => {
    let at = 0;
    let until = 0;
    let ended = true;
    const say = (message) => channel.sendMessage(JSON.stringify(message));
    const end = (settle, value) => {
      settle(value);
      channel.close();
    };
    const sendOn = () => {
      while (at < Math.min(until, content.length) && channel.bufferedAmount() < BUFFER) {
        const chunk = content.subarray(at, Math.min(at + Math.min(CHUNK, channel.maxMessageSize()), until));
        at += chunk.length;
        channel.sendMessageBinary(chunk);
      }
      if (at === content.length && !ended) {
        ended = true;
        say({ type: "end", sha256: digest });
      }
    };
    const open = () => say({ type: "offer", id: randomBytes(16).toString("hex"), name: basename(path), size: content.length });
    channel.setBufferedAmountLowThreshold(BUFFER / 2);
    channel.onBufferedAmountLow(sendOn);
    channel.onClosed(() => reject(new Error("the channel was closed")));
    channel.onMessage((text) => {
      const message = JSON.parse(text);
      if (message.type === "accept" || message.type === "again") {
        [at, until, ended] = [message.offset, message.until, false];
        sendOn();
      } else if (message.type === "more") {
        until = message.until;
        sendOn();
      } else if (message.type === "ack") end(resolve, message.sha256);
      else if (message.type === "refuse" || message.type === "cancel") end(reject, new Error(message.reason));
    });
    if (channel.isOpen()) open();
    else channel.onOpen(open);
  });
}

/** Takes what is offered on a channel; a promise of name, size and hash. */
export function receive(channel, folder) {
  return new Promise((resolve, reject) => {
    let offer = null;
    let until = WINDOW;
    let got = 0;
    const chunks = [];
    const say = (message) => channel.sendMessage(JSON.stringify(message));
    const refuse = (reason) => {
      say({ type: "refuse", reason, text: reason });
      reject(new Error(reason));
    };
    channel.onClosed(() => reject(new Error("the channel was closed")));
    channel.onMessage((data) => {
      if (typeof data !== "string") {
        got += data.byteLength;
        if (!offer || got > Math.min(until, offer.size)) return refuse("flood");
        chunks.push(Buffer.from(data));
        if (until - got < WINDOW / 2 && until < offer.size) {
          until = got + WINDOW;
          say({ type: "more", until });
        }
        return;
      }
      const message = JSON.parse(data);
      if (message.type === "offer") {
        offer = message;
        say({ type: "accept", offset: 0, until });
      } else if (message.type === "cancel") reject(new Error(message.reason));
      else if (message.type === "end") {
        const content = Buffer.concat(chunks);
        const digest = sha256(content);
        if (digest !== message.sha256 || got !== offer.size) return refuse("mismatch");
        const name = basename(offer.name).replace(/[^A-Za-z0-9._-]/g, "_");
        writeFileSync(join(folder, name), content, { flag: "wx" });
        say({ type: "ack", sha256: digest });
        resolve({ name, size: got, sha256: digest });
      }
    });
  });
}
