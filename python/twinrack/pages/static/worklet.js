// The player of a page, in the audio thread. It plays one recording in a loop, through racks or as it is, and changes
// from one to the other in step: whatever is heard is as late as the racks are.
//
// Heard is (`heard`) "dry", "target", the name of a rack, "difference" (target minus the main rack), or "change"
// (what one effect of the main rack takes away or adds).
const FADE = 256, EDGE = 128;  // frames of a crossfade, and of the fade at both ends of a loop

const rowsFor = (channels, frames) => Array.from({ length: channels }, () => new Float32Array(frames));

// Delays rows in place by a fixed number of frames.
class Delay {
  constructor(channels, late) {
    this.late = late;
    this.rows = rowsFor(channels, late);
    this.at = 0;
  }
  clear() { for (const row of this.rows) row.fill(0); }
  process(rows, frames) {
    if (this.late === 0) return;
    for (let c = 0; c < rows.length; ++c) {
      const line = this.rows[c], x = rows[c];
      for (let n = 0, p = this.at; n < frames; ++n) {
        const old = line[p];
        line[p] = x[n];
        x[n] = old;
        if (++p === this.late) p = 0;
      }
    }
    this.at = (this.at + frames) % this.late;
  }
}

class Player extends AudioWorkletProcessor {
  constructor({ processorOptions: given }) {
    super();
    this.given = given;
    this.channels = given.channels;
    this.sounds = given.sounds;
    this.keys = given.keys ?? [];  // sounds of the sidechains
    this.stems = (given.stems ?? []).map(rows => ({ rows, gain: 1, to: 1, peak: 0 }));  // whose sum goes into the racks
    this.gains = given.gains ?? {};
    this.at = 0;
    this.from = -1;  // where it was before a jump, to be faded out
    this.loop = [0, given.sounds.dry[0].length];
    this.heard = this.wanted = given.heard;
    this.before = "";  // fades out
    this.faded = 0;
    this.playing = given.playing ?? false;
    this.live = false;  // the input of this node in place of the recording
    this.blocks = 0;
    this.bypassed = new Set(given.bypassed ?? []);
    this.values = new Map();
    this.pair = null;  // for "change": an effect, and the main rack up to it with it and without
    this.sounding = {};  // rows by what may be heard
    this.port.onmessage = ({ data }) => this.guarded(() => this.take(data));
    this.guarded(() => {
      this.engine = new Engine(given.bytes);
      this.racks = {};
      for (const [name, flat] of Object.entries(given.racks)) this.racks[name] = this.rack(flat);
      this.main = this.racks[given.main];
      this.latency = Math.max(0, ...Object.values(this.racks).map(r => r.latency));
      this.delays = { dry: new Delay(this.channels, this.latency), target: new Delay(this.channels, this.latency) };
      for (const [name, rack] of Object.entries(this.racks)) this.delays[name] = new Delay(this.channels, this.latency - rack.latency);
      this.delays.change = new Delay(this.channels, this.latency - this.main.latency);
      if (this.heard === "change") this.listen(given.effect);
      this.port.postMessage({ ready: true, latency: this.latency, target: this.engine.text(this.engine.call("tw_target")) });
    });
  }
  guarded(work) {
    try {
      work();
    } catch (error) {
      this.problem = error.message;
      this.port.postMessage({ problem: error.message });
    }
  }
  rack(flat) {
    const rack = new EngineRack(this.engine, flat, sampleRate, this.channels, this.given.effects, (this.given.keys ?? []).length);
    rack.connect(this.keys.length > 0 && !this.live);
    return rack;
  }
  // All racks hear their sidechains, or their own input where a reader's sound plays.
  connect() {
    for (const rack of [...Object.values(this.racks), ...(this.pair?.racks ?? [])]) rack.connect(this.keys.length > 0 && !this.live);
  }

  take(data) {
    if (data.set) {
      const [parameter, value] = data.set;
      this.values.set(parameter, value);
      for (const rack of [this.main, ...(this.pair?.racks ?? [])]) rack.set(parameter, value);
    }
    if (data.bypass) {
      const [effect, on] = data.bypass;
      on ? this.bypassed.add(effect) : this.bypassed.delete(effect);
      this.main.bypass(effect, on);
      if (this.pair) this.listen(this.pair.effect);
    }
    if (data.heard) {
      if (data.heard === "change") {
        this.listen(data.effect);
        if (this.heard !== "change") this.forget();
      }
      this.wanted = data.heard;
    }
    if (data.playing !== undefined) this.playing = data.playing;
    if (data.seek !== undefined) {
      if (this.playing) this.from = this.at;
      this.at = Math.min(Math.max(Math.round(data.seek), 0), this.sounds.dry[0].length - 1);
    }
    if (data.loop) this.loop = [data.loop[0], Math.max(data.loop[1], data.loop[0] + 2 * EDGE)];
    if (data.gains) this.gains = data.gains;
    if (data.stem) this.stems[data.stem[0]].to = data.stem[1];
    if (data.live !== undefined) {
      this.live = data.live;
      this.connect();
    }
    if (data.sound) {
      this.sounds = { dry: data.sound };
      this.stems = [];
      this.keys = [];
      this.connect();
      this.at = 0;
      this.from = -1;
      this.loop = [0, data.sound[0].length];
    }
    if (data.reset) {
      this.values.clear();
      this.bypassed = new Set(this.given.bypassed ?? []);
      this.main.swap(this.given.racks[this.given.main]);
      if (this.pair) {
        const { effect, racks } = this.pair;
        for (const rack of racks) rack.free();
        this.pair = null;
        if (this.heard === "change" || this.wanted === "change") this.listen(effect);
      }
    }
  }
  // The main rack up to an effect, and the same without it.
  listen(effect) {
    if (!this.pair) {
      this.pair = { effect, racks: [0, 1].map(() => this.rack(this.given.racks[this.given.main])) };
      for (const rack of this.pair.racks) for (const [i, v] of this.values) rack.set(i, v);
    }
    this.pair.effect = effect;
    for (let i = 0; i < this.given.effects; ++i) {
      this.pair.racks[0].bypass(i, i > effect || this.bypassed.has(i));
      this.pair.racks[1].bypass(i, i >= effect || this.bypassed.has(i));
    }
  }
  // The pair has not run for a while: its past is another one's.
  forget() {
    for (const rack of this.pair.racks) rack.reset();
    this.delays.change.clear();
  }

  // The next frames of a sound, in the loop, with a fade at its ends; 0 where there is no sound.
  read(sound, into, at, frames) {
    const [begin, end] = this.loop, fades = this.given.once !== true;
    for (let c = 0; c < this.channels; ++c) {
      const row = sound?.[Math.min(c, sound.length - 1)], y = into[c];
      for (let n = 0, p = at; n < frames; ++n, ++p) {
        if (p >= end) p = begin;
        const edge = fades ? Math.min(1, (p - begin + 1) / EDGE, (end - p) / EDGE) : 1;
        y[n] = row === undefined || p >= row.length ? 0 : row[p] * edge;
      }
    }
  }
  // The same, from where a jump goes to, faded over from where it came.
  readOn(sound, into, frames) {
    this.read(sound, into, this.at, frames);
    if (this.from < 0) return;
    const old = this.rows("jump", frames);
    this.read(sound, old, this.from, frames);
    for (let c = 0; c < this.channels; ++c) {
      for (let n = 0; n < frames; ++n) into[c][n] = old[c][n] + (into[c][n] - old[c][n]) * (n + 1) / frames;
    }
  }
  // The stems, each at its fader, which moves within a block.
  sum(into, frames) {
    for (const row of into) row.fill(0);
    const own = this.rows("stem", frames);
    for (const stem of this.stems) {
      if (stem.gain === 0 && stem.to === 0) continue;
      this.readOn(stem.rows, own, frames);
      const step = (stem.to - stem.gain) / frames;
      for (let c = 0; c < this.channels; ++c) {
        for (let n = 0; n < frames; ++n) {
          const y = own[c][n] * (stem.gain + step * (n + 1));
          into[c][n] += y;
          if (Math.abs(y) > stem.peak) stem.peak = Math.abs(y);
        }
      }
      stem.gain = stem.to;
    }
  }
  // Memory of so many frames by name.
  rows(name, frames) {
    if (this.sounding[name]?.[0].length !== frames) this.sounding[name] = rowsFor(this.channels, frames);
    return this.sounding[name];
  }

  process([input], [output]) {
    if (this.problem || (!this.playing && !this.live)) {
      for (const row of output) row.fill(0);
      return true;
    }
    this.guarded(() => this.play(input, output, output[0].length));
    return true;
  }
  play(input, output, frames) {
    const dry = this.rows("dry", frames), target = this.rows("target", frames);
    if (this.live) {
      for (let c = 0; c < this.channels; ++c) input.length > 0 ? dry[c].set(input[Math.min(c, input.length - 1)]) : dry[c].fill(0);
      for (const row of target) row.fill(0);
    } else {
      if (this.at < this.loop[0] || this.at >= this.loop[1]) this.at = this.loop[0];
      this.stems.length > 0 ? this.sum(dry, frames) : this.readOn(this.sounds.dry, dry, frames);
      this.keys.forEach((key, k) => this.readOn(key, this.rows(`key ${k}`, frames), frames));
      this.sounds.target ? this.readOn(this.sounds.target, target, frames) : target.forEach(row => row.fill(0));
      this.from = -1;
      this.at += frames;
      if (this.at >= this.loop[1]) this.at = this.loop[0] + (this.at - this.loop[1]) % (this.loop[1] - this.loop[0]);
    }
    const keys = this.live ? [] : this.keys.map((_, k) => this.sounding[`key ${k}`]);
    for (const name in this.racks) {
      const y = this.copied(name, dry, frames);
      this.racks[name].process(y, frames, keys);
      this.delays[name].process(y, frames);
    }
    if (this.pair && [this.heard, this.wanted, this.before].includes("change")) {
      const with_ = this.copied("change", dry, frames), without = this.copied("without", dry, frames);
      this.pair.racks[0].process(with_, frames, keys);
      this.pair.racks[1].process(without, frames, keys);
      for (let c = 0; c < this.channels; ++c) for (let n = 0; n < frames; ++n) with_[c][n] -= without[c][n];
      this.delays.change.process(with_, frames);
    }
    this.delays.dry.process(dry, frames);
    this.delays.target.process(target, frames);
    if (this.before === "" && this.wanted !== this.heard) {
      this.before = this.heard;
      this.heard = this.wanted;
      this.faded = 0;
    }
    for (let c = 0; c < output.length; ++c) this.mix(output[c], Math.min(c, this.channels - 1), frames);
    this.faded += frames;
    if (this.faded >= FADE) this.before = "";
    if (++this.blocks % 16 === 0) {
      this.port.postMessage({ at: Math.max(this.at - this.latency, 0), meters: this.main.meters(), stems: this.stems.map(s => s.peak) });
      for (const stem of this.stems) stem.peak = 0;
    }
  }
  copied(name, from, frames) {
    const rows = this.rows(name, frames);
    for (let c = 0; c < this.channels; ++c) rows[c].set(from[c]);
    return rows;
  }
  // One channel of what is heard, and of what fades out.
  mix(y, c, frames) {
    y.fill(0);
    const fading = this.before !== "";
    this.add(y, this.heard, c, frames, fading ? 1 : 0);
    if (fading) this.add(y, this.before, c, frames, -1);
  }
  // `way`: fades in (1), out (-1), or neither (0).
  add(y, name, c, frames, way) {
    const gain = this.gains[name] ?? 1, is_difference = name === "difference";
    const a = (this.sounding[is_difference ? "target" : name] ?? this.sounding.dry)[c], b = is_difference ? this.sounding[this.given.main][c] : null;
    for (let n = 0; n < frames; ++n) {
      const share = Math.min(1, (this.faded + n) / FADE), mix = way === 0 ? 1 : way > 0 ? share : 1 - share;
      y[n] += gain * mix * (b === null ? a[n] : a[n] - b[n]);
    }
  }
}
registerProcessor("twinrack-player", Player);
