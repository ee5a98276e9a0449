// Sound: from the microphone or a file to samples at 16 kHz, from samples to a WAV file, and back to
// the ear. Knows nothing of the page.

export const RATE = 16000;

// What a person can do about a microphone that cannot be used, by the error's name.
const NO_MICROPHONE = {
  NotAllowedError:
    "The browser does not let this page use the microphone. Allow it (beside the address of the page) and press Record again.",
  NotFoundError: "There is no microphone. Connect one, choose a recording, or type.",
  NotReadableError: "The microphone is used by another program. Close that and press Record again.",
};

// A microphone that is recording. `stop()` gives the samples at 16 kHz.
export class Recorder {
  // onBlock is called with each block of samples, at the rate of `context`.
  static async start(onBlock) {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Error(
        "The browser gives the microphone only to pages from https or from this machine: open the page as http://localhost.",
      );
    }
    const recorder = new Recorder();
    try {
      // As it is: models learn from recordings that nothing has cleaned.
      recorder.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (error) {
      throw new Error(NO_MICROPHONE[error.name] || `The microphone cannot be used (${error.name}).`);
    }
    recorder.context = new AudioContext();
    try {
      await recorder.context.audioWorklet.addModule("/page/microphone.js");
      const node = new AudioWorkletNode(recorder.context, "microphone", { numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" });
      recorder.blocks = [];
      node.port.onmessage = (message) => {
        recorder.blocks.push(message.data);
        onBlock(message.data, recorder.context.sampleRate);
      };
      // A node that leads nowhere is not run; this one gives silence.
      recorder.context.createMediaStreamSource(recorder.stream).connect(node).connect(recorder.context.destination);
      await recorder.context.resume();
    } catch (error) {
      recorder.release();
      throw error;
    }
    return recorder;
  }

  release() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }

  async stop() {
    const rate = this.context.sampleRate;
    this.release();
    const length = this.blocks.reduce((sum, block) => sum + block.length, 0);
    const samples = new Float32Array(length);
    let at = 0;
    for (const block of this.blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return resample(samples, rate);
  }
}

// Samples of any rate at 16 kHz.
async function resample(samples, rate) {
  if (rate === RATE || !samples.length) return samples;
  const offline = new OfflineAudioContext(1, Math.ceil((samples.length * RATE) / rate), RATE);
  const buffer = offline.createBuffer(1, samples.length, rate);
  buffer.copyToChannel(samples, 0);
  const source = offline.createBufferSource();
  source.buffer = buffer;
  source.connect(offline.destination);
  source.start();
  return (await offline.startRendering()).getChannelData(0);
}

// The samples of a file, at 16 kHz, its channels mixed.
export async function decode(file) {
  const bytes = await file.arrayBuffer();
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  } catch {
    throw new Error(`${file.name} cannot be read as audio. Choose a wav, flac, ogg, opus or mp3 file.`);
  }
  const mixed = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / buffer.numberOfChannels;
  }
  return mixed;
}

// A WAV file of 16 bits, one channel, 16 kHz.
export function wav(samples) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, RATE, true);
  bytes.setUint32(28, 2 * RATE, true); // bytes a second
  bytes.setUint16(32, 2, true); // bytes of all channels
  bytes.setUint16(34, 16, true); // bits
  text(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    bytes.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), true);
  });
  return new Blob([bytes.buffer], { type: "audio/wav" });
}

// Plays samples, or a part of them; one at a time.
export class Player {
  // onMove is called with the second that is heard, about 60 times a second, and with null at the end.
  play(samples, [start, end], onMove) {
    this.stop();
    this.context ||= new AudioContext();
    this.context.resume();
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    const began = this.context.currentTime;
    source.start(0, start, end - start);
    this.source = source;
    this.onMove = onMove;
    const move = () => {
      if (this.source !== source) return;
      onMove(Math.min(end, start + this.context.currentTime - began));
      requestAnimationFrame(move);
    };
    source.onended = () => this.source === source && this.stop();
    move();
  }

  get playing() {
    return Boolean(this.source);
  }

  stop() {
    const { source, onMove } = this;
    if (!source) return;
    this.source = null;
    source.stop();
    onMove(null);
  }
}
