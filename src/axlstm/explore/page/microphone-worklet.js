// Runs beside the page, where the browser's sound is: gathers samples into blocks, and hands them over.

const BLOCK = 4096;

class Hear extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process([channels]) {
    const samples = channels[0];
    for (let at = 0; samples && at < samples.length; at++) {
      this.block[this.filled++] = samples[at];
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block);
        this.block = new Float32Array(BLOCK);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("hear", Hear);
