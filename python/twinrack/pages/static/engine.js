// The engine in a page: one instance of its module, and the racks in it. This runs in the audio thread of a browser
// (worklet.js follows it there), where there is neither a console nor TextDecoder.
class Engine {
  constructor(bytes) {
    const module = new WebAssembly.Module(bytes), imports = {};
    for (const i of WebAssembly.Module.imports(module)) (imports[i.module] ??= {})[i.name] = () => 0;
    this.own = new WebAssembly.Instance(module, imports).exports;
    this.own._initialize();
  }
  text(at) {
    const bytes = new Uint8Array(this.own.memory.buffer, at);
    let text = "";
    for (let i = 0; bytes[i] !== 0; ++i) text += String.fromCharCode(bytes[i]);
    return text;
  }
  // Calls a function of the module; where it stops, its last words are the error.
  call(name, ...values) {
    try {
      return this.own[name](...values);
    } catch (error) {
      throw new Error(this.text(this.own.tw_last_words()) || String(error));
    }
  }
  // Lets `work` use a copy of bytes in the module's memory.
  withBytes(bytes, work) {
    const at = this.call("tw_alloc", bytes.length);
    if (at === 0) throw new Error("the page has no memory left");
    new Uint8Array(this.own.memory.buffer, at, bytes.length).set(bytes);
    try {
      return work(at, bytes.length);
    } finally {
      this.call("tw_free", at);
    }
  }
}

// A rack that plays. `flat`: bytes of its flat form.
class EngineRack {
  constructor(engine, flat, rate, channels, effects, keys = 0) {
    this.engine = engine;
    this.channels = channels;
    this.effects = effects;
    this.at = engine.withBytes(flat, (at, size) => engine.call("tw_build", at, size, rate));
    this.latency = engine.call("tw_latency", this.at);
    this.rows = [];
    for (let c = 0; c < channels * (1 + keys); ++c) this.rows.push(engine.call("tw_row", this.at, c));
    this.keys = keys;
    this.connect(true);
  }
  set(parameter, value) { return this.engine.call("tw_set", this.at, parameter, value) === 1; }
  bypass(effect, on) { return this.engine.call("tw_bypass", this.at, effect, on ? 1 : 0) === 1; }
  swap(flat) { return this.engine.withBytes(flat, (at, size) => this.engine.call("tw_swap", this.at, at, size)) === 1; }
  reset() { this.engine.call("tw_reset", this.at); }
  free() { this.engine.call("tw_delete", this.at); }
  // Whether sidechains are heard; without, keyed effects hear their own input.
  connect(on) { for (let k = 0; k < this.keys; ++k) this.engine.call("tw_connect", this.at, k, on ? 1 : 0); }
  // In place: an array of as many Float32Arrays as there are channels. `keys`: the same for each sidechain.
  process(sound, frames, keys = []) {
    const memory = this.engine.own.memory;
    keys.forEach((key, k) => key.forEach((row, c) => new Float32Array(memory.buffer, this.rows[this.channels * (k + 1) + c], frames).set(row)));
    for (let c = 0; c < this.channels; ++c) new Float32Array(memory.buffer, this.rows[c], frames).set(sound[c]);
    this.engine.call("tw_process", this.at, frames);
    for (let c = 0; c < this.channels; ++c) sound[c].set(new Float32Array(memory.buffer, this.rows[c], frames));
  }
  // Of each effect six numbers: peak in, peak out, RMS in, RMS out, gain reduction in dB, faults.
  meters() { return new Float32Array(this.engine.own.memory.buffer, this.engine.call("tw_meters", this.at), 6 * this.effects).slice(); }
}
