// The player of a page, in the audio thread. It plays one recording in a loop, through racks or as it is, and changes
// from one to the other in step: whatever is heard is as late as the racks are.
//
// Heard is (`heard`) "dry", "target", the name of a rack, "difference" (target minus the main rack), or "change"
// (what one effect of the main rack takes away or adds).
const FADE = 256, EDGE = 128;  // frames of a crossfade, and of the fade at both ends of a loop

class Player extends AudioWorkletProcessor {
  constructor({ processorOptions: given }) {
    super();
    this.given = given;
    this.channels = given.channels;
    this.sounds = given.sounds;
    this.gains = given.gains ?? {};
    this.at = 0;
    this.loop = [0, given.sounds.dry[0].length];
    this.heard = given.heard;
    this.before = null;  // what fades out
    this.faded = 0;
    this.playing = given.playing ?? false;
    this.live = false;  // the input of this node in place of the recording
    this.blocks = 0;
    try {
      this.engine = new Engine(given.bytes);
      this.racks = {};
      for (const [name, flat] of Object.entries(given.racks)) this.racks[name] = this.rack(flat);
      this.latency = Math.max(0, ...Object.values(this.racks).map(r => r.latency));
    } catch (error) {
      this.problem = error.message;
      this.port.postMessage({ problem: this.problem });
      return;
    }
    this.pairs = null;  // for "change": the main rack up to an effect, and without it
    this.bypassed = new Set(given.bypassed ?? []);
    this.values = new Map();
    this.lines = {};  // dry, target and each rack, delayed until all are in step
    for (const name of ["dry", "target", "change", ...Object.keys(this.racks)]) {
      const late = this.latency - (this.racks[name === "change" ? given.main : name]?.latency ?? 0);
      this.lines[name] = { late, rows: Array.from({ length: this.channels }, () => new Float32Array(late + 128)) };
    }
    if (this.heard === "change") this.listen(given.effect);
    this.port.onmessage = ({ data }) => {
      try { this.take(data); } catch (error) { this.problem = error.message; this.port.postMessage({ problem: error.message }); }
    };
    this.port.postMessage({ ready: true, latency: this.latency, target: this.engine.text(this.engine.call("tw_target")) });
  }
  rack(flat) { return new EngineRack(this.engine, flat, sampleRate, this.channels, this.given.effects); }
  get main() { return this.racks[this.given.main]; }

  take(data) {
    if (data.set) {
      const [parameter, value] = data.set;
      this.values.set(parameter, value);
      for (const rack of [this.main, ...(this.pairs?.racks ?? [])]) rack.set(parameter, value);
    }
    if (data.bypass) {
      const [effect, on] = data.bypass;
      on ? this.bypassed.add(effect) : this.bypassed.delete(effect);
      this.main.bypass(effect, on);
      if (this.pairs) this.listen(this.pairs.effect);
    }
    if (data.heard) this.hear(data.heard, data.effect);
    if (data.playing !== undefined) this.playing = data.playing;
    if (data.seek !== undefined) this.at = Math.min(Math.max(Math.round(data.seek), 0), this.sounds.dry[0].length - 1);
    if (data.loop) this.loop = [data.loop[0], Math.max(data.loop[1], data.loop[0] + 2 * EDGE)];
    if (data.gains) this.gains = data.gains;
    if (data.live !== undefined) this.live = data.live;
    if (data.sound) {
      this.sounds = { dry: data.sound };
      this.at = 0;
      this.loop = [0, data.sound[0].length];
    }
    if (data.reset) {
      this.values.clear();
      this.bypassed = new Set(this.given.bypassed ?? []);
      this.main.swap(this.given.racks[this.given.main]);
      if (this.pairs) this.listen(this.pairs.effect);
    }
  }
  hear(name, effect) {
    if (name === "change") this.listen(effect);
    if (name === this.heard) return;
    this.before = this.heard;
    this.heard = name;
    this.faded = 0;
  }
  // The main rack up to an effect, and the same without it.
  listen(effect) {
    const racks = this.pairs?.racks ?? [0, 1].map(() => this.rack(this.given.racks[this.given.main]));
    if (!this.pairs) for (const rack of racks) for (const [i, v] of this.values) rack.set(i, v);
    for (let i = 0; i < this.given.effects; ++i) {
      racks[0].bypass(i, i > effect || this.bypassed.has(i));
      racks[1].bypass(i, i >= effect || this.bypassed.has(i));
    }
    this.pairs = { effect, racks };
  }

  // The next frames of a sound, in the loop, with a fade at its ends.
  read(sound, into, at) {
    const [begin, end] = this.loop, frames = into[0].length;
    for (let c = 0; c < this.channels; ++c) {
      const row = sound?.[Math.min(c, sound.length - 1)], y = into[c];
      for (let n = 0, p = at; n < frames; ++n, ++p) {
        if (p >= end) p = begin;
        const edge = this.whole ? 1 : Math.min(1, (p - begin + 1) / EDGE, (end - p) / EDGE);
        y[n] = row === undefined ? 0 : (row[p] ?? 0) * (edge < 1 ? edge : 1);
      }
    }
  }
  get whole() { return this.given.once === true; }
  delayed(name, rows) {
    const { late, rows: lines } = this.lines[name], frames = rows[0].length;
    if (late === 0) return rows;
    return rows.map((row, c) => {
      const line = lines[c];
      line.copyWithin(0, frames);
      line.set(row, late + 128 - frames);
      return line.slice(128 - frames, 128);
    });
  }

  process([input], [output]) {
    const frames = output[0].length;
    if (this.problem) return true;
    if (!this.playing && !this.live) {
      for (const row of output) row.fill(0);
      return true;
    }
    const dry = Array.from({ length: this.channels }, () => new Float32Array(frames));
    const target = dry.map(() => new Float32Array(frames));
    if (this.live) {
      dry.forEach((row, c) => { const x = input[Math.min(c, input.length - 1)]; if (x) row.set(x); });
    } else {
      if (this.at < this.loop[0] || this.at >= this.loop[1]) this.at = this.loop[0];
      this.read(this.sounds.dry, dry, this.at);
      if (this.sounds.target) this.read(this.sounds.target, target, this.at);
      this.at += frames;
      if (this.at >= this.loop[1]) this.at = this.loop[0] + this.at - this.loop[1];
    }
    let sources;
    try {
      sources = this.sources(dry, target);
    } catch (error) {
      this.problem = error.message;
      this.port.postMessage({ problem: error.message });
      return true;
    }
    for (let c = 0; c < output.length; ++c) {
      const y = output[c], now = this.level(sources, this.heard, c), before = this.before && this.level(sources, this.before, c);
      for (let n = 0; n < frames; ++n) {
        const mix = before ? Math.min(1, (this.faded + n) / FADE) : 1;
        y[n] = before ? before(n) * (1 - mix) + now(n) * mix : now(n);
      }
    }
    this.faded += frames;
    if (this.before && this.faded >= FADE) this.before = null;
    if (++this.blocks % 16 === 0) this.port.postMessage({ at: Math.max(this.at - this.latency, 0), meters: this.main.meters() });
    return true;
  }
  sources(dry, target) {
    const sources = {};
    for (const [name, rack] of Object.entries(this.racks)) {
      const y = dry.map(row => row.slice());
      rack.process(y, y[0].length);
      sources[name] = this.delayed(name, y);
    }
    if (this.pairs && (this.heard === "change" || this.before === "change")) {
      const [a, b] = this.pairs.racks.map(rack => { const y = dry.map(row => row.slice()); rack.process(y, y[0].length); return y; });
      sources.change = this.delayed("change", a.map((row, c) => row.map((v, n) => v - b[c][n])));
    }
    sources.dry = this.delayed("dry", dry);
    sources.target = this.delayed("target", target);
    return sources;
  }
  // The samples of one channel of what is heard, at its level.
  level(sources, name, c) {
    const gain = this.gains[name] ?? 1, row = s => s[Math.min(c, s.length - 1)];
    if (name === "difference") {
      const a = row(sources.target), b = row(sources[this.given.main]);
      return n => gain * (a[n] - b[n]);
    }
    const x = row(sources[name] ?? sources.dry);
    return gain === 1 ? n => x[n] : n => gain * x[n];
  }
}
registerProcessor("twinrack-player", Player);
