// The statistics of a connection in a form for tests. Changes nothing.

/**
 * @param peer a Peer
 * @param labelOf (stream id, kind) => label of the other side, or undefined
 * @returns {connection, rtt, outbound: [{source, kind, codec, bytes, packetsSent, framesEncoded, …}], inbound: [{…, framesDecoded, …}]}
 */
export async function summarise(peer, labelOf) {
  const report = await peer.pc.getStats();
  const transceivers = new Map(peer.pc.getTransceivers().map((one) => [one.mid, one]));
  const codec = (stat) => report.get(stat.codecId)?.mimeType.split("/")[1].toUpperCase() ?? null;
  const result = { connection: peer.pc.connectionState, rtt: null, outbound: [], inbound: [] };
  for (const stat of report.values()) {
    const transceiver = transceivers.get(stat.mid);
    const common = () => ({
      mid: stat.mid, ssrc: stat.ssrc, kind: stat.kind, codec: codec(stat),
      frameWidth: stat.frameWidth ?? null, frameHeight: stat.frameHeight ?? null, framesPerSecond: stat.framesPerSecond ?? null,
    });
    if (stat.type === "outbound-rtp") {
      result.outbound.push({
        ...common(), source: transceiver ? peer.sourceOf(transceiver.sender) : null, active: Boolean(transceiver?.sender.track),
        bytes: stat.bytesSent, packetsSent: stat.packetsSent, retransmitted: stat.retransmittedPacketsSent ?? 0,
        framesEncoded: stat.framesEncoded ?? null, keyFramesEncoded: stat.keyFramesEncoded ?? null,
      });
    } else if (stat.type === "inbound-rtp") {
      const track = transceiver?.receiver.track;
      const stream = [...peer.streams.values()].find((one) => track && one.getTracks().includes(track));
      result.inbound.push({
        ...common(), source: stream ? labelOf(stream.id, stat.kind)?.source ?? null : null, stream: stream?.id ?? null,
        bytes: stat.bytesReceived, packetsReceived: stat.packetsReceived, packetsLost: stat.packetsLost,
        framesDecoded: stat.framesDecoded ?? null, keyFramesDecoded: stat.keyFramesDecoded ?? null, framesDropped: stat.framesDropped ?? null,
        freezeCount: stat.freezeCount ?? null, level: stat.audioLevel ?? null,
      });
    } else if (stat.type === "candidate-pair" && stat.nominated && stat.currentRoundTripTime !== undefined) {
      result.rtt = stat.currentRoundTripTime;
    }
  }
  return result;
}
