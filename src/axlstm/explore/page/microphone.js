// Hears the microphone: blocks of samples, or a WAV file of all of them.

/**
 * Gives blocks of samples as they come, until `stopped` resolves.
 *
 * @param {Promise<any>} stopped @param {(block: Float32Array, rate_hz: number) => void} hear
 * @returns {Promise<number>} The rate in Hz.
 */
export async function listenTo(stopped, hear) {
  const sound = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: sound });
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule("/page/microphone-worklet.js");
    const node = new AudioWorkletNode(context, "hear");
    node.port.onmessage = ({ data }) => hear(data, context.sampleRate);
    context.createMediaStreamSource(stream).connect(node);
    await stopped;
    return context.sampleRate;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    await context.close();
  }
}

/** Records until `stopped` resolves, or a minute. @param {(seconds: number) => void} heard @returns {Promise<Blob>} A WAV file. */
export async function record(stopped, heard) {
  const blocks = [];
  let samples = 0;
  let full;
  const minute = new Promise((end) => (full = end));
  const rate_hz = await listenTo(Promise.race([stopped, minute]), (block, rate) => {
    blocks.push(block);
    samples += block.length;
    heard(samples / rate);
    if (samples > 60 * rate) full();
  });
  return wav(blocks, samples, rate_hz);
}

function wav(blocks, samples, rate_hz) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const write = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  write(8, "WAVEfmt ");
  [
    [16, 16, 4],
    [20, 1, 2],
    [22, 1, 2],
    [24, rate_hz, 4],
    [28, 2 * rate_hz, 4],
    [32, 2, 2],
    [34, 16, 2],
  ].forEach(([at, value, bytes]) => (bytes === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true)));
  write(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = 44;
  for (const block of blocks)
    for (const sample of block) {
      view.setInt16(at, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true);
      at += 2;
    }
  return new Blob([view], { type: "audio/wav" });
}
