// Figures and curves of a rack, measured in the page: rendered by a second engine, beside the one that plays.
const Measures = (() => {
  const BUSY_MS = 25;  // so long the page does not answer while it measures
  const db = power => 10 * Math.log10(Math.max(power, 1e-20));

  // Loudness after ITU-R BS.1770-4: the two filters for any sample rate, blocks of 400 ms, both gates. LUFS; -70 for silence.
  function loudness(rows, rate) {
    const filtered = rows.map(row => biquad(biquad(row, shelf(rate)), highpass(rate)));
    const size = Math.round(0.4 * rate), hop = Math.round(0.1 * rate), powers = [];
    for (let from = 0; from + size <= rows[0].length; from += hop) {
      let power = 0;
      for (const row of filtered) for (let n = from; n < from + size; ++n) power += row[n] * row[n];
      powers.push(power / size);
    }
    const lufs = power => -0.691 + db(power), mean = list => list.reduce((a, b) => a + b, 0) / list.length;
    const loud = powers.filter(p => lufs(p) > -70);
    if (loud.length === 0) return -70;
    const gate = lufs(mean(loud)) - 10;
    return lufs(mean(loud.filter(p => lufs(p) > gate)));
  }
  function shelf(rate) {
    const f = 1681.974450955533, gain = 3.999843853973347, q = 0.7071752369554196;
    const k = Math.tan(Math.PI * f / rate), vh = 10 ** (gain / 20), vb = vh ** 0.4996667741545416, a0 = 1 + k / q + k * k;
    return [(vh + vb * k / q + k * k) / a0, 2 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0];
  }
  function highpass(rate) {
    const k = Math.tan(Math.PI * 38.13547087602444 / rate), q = 0.5003270373238773, a0 = 1 + k / q + k * k;
    return [1, -2, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0];
  }
  function biquad(x, [b0, b1, b2, a1, a2]) {
    const y = new Float64Array(x.length);
    for (let n = 0, s1 = 0, s2 = 0; n < x.length; ++n) {
      y[n] = b0 * x[n] + s1;
      s1 = b1 * x[n] - a1 * y[n] + s2;
      s2 = b2 * x[n] - a2 * y[n];
    }
    return y;
  }
  // In place; the length is a power of two.
  function fft(re, im) {
    const size = re.length;
    for (let i = 1, j = 0; i < size; ++i) {
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
    }
    for (let half = 1; half < size; half <<= 1) {
      for (let k = 0; k < half; ++k) {
        const c = Math.cos(Math.PI * k / half), s = -Math.sin(Math.PI * k / half);
        for (let i = k; i < size; i += 2 * half) {
          const a = re[i + half] * c - im[i + half] * s, b = re[i + half] * s + im[i + half] * c;
          re[i + half] = re[i] - a;
          im[i + half] = im[i] - b;
          re[i] += a;
          im[i] += b;
        }
      }
    }
  }

  const BANDS = [[20, 200, "below 200 Hz"], [200, 2000, "200 Hz to 2 kHz"], [2000, 8000, "2 to 8 kHz"], [8000, 20000, "above 8 kHz"]];
  // Power in each band, by frames of 4096 with Hann's window.
  function bands(rows, rate) {
    const size = 4096, powers = BANDS.map(() => 1e-20), window = Float64Array.from({ length: size }, (_, n) => Math.sin(Math.PI * n / size) ** 2);
    for (const row of rows) {
      for (let from = 0; from + size <= row.length; from += size) {
        const re = Float64Array.from({ length: size }, (_, n) => row[from + n] * window[n]), im = new Float64Array(size);
        fft(re, im);
        for (let k = 1; k < size / 2; ++k) {
          const band = BANDS.findIndex(([low, high]) => k * rate / size >= low && k * rate / size < high);
          if (band >= 0) powers[band] += re[k] ** 2 + im[k] ** 2;
        }
      }
    }
    return powers.map(db);
  }
  // Of the level in windows of 50 ms within 40 dB of the loudest: loud (95 %) above quiet (5 %), in dB.
  function spread(rows, rate) {
    const size = Math.round(0.05 * rate), levels = [];
    for (let from = 0; from + size <= rows[0].length; from += size) {
      let power = 0;
      for (const row of rows) for (let n = from; n < from + size; ++n) power += row[n] * row[n];
      levels.push(db(power / size));
    }
    const loudest = Math.max(...levels), own = levels.filter(l => l > loudest - 40).sort((a, b) => a - b);
    return own.length ? own[Math.floor(0.95 * (own.length - 1))] - own[Math.floor(0.05 * (own.length - 1))] : 0;
  }
  function figures(rows, rate) {
    let peak = 1e-10;
    for (const row of rows) for (const v of row) peak = Math.max(peak, Math.abs(v));
    return { loudness: loudness(rows, rate), peak: 20 * Math.log10(peak), spread: spread(rows, rate), bands: bands(rows, rate) };
  }
  // The energy of the difference, in dB of the first's.
  function difference(a, b) {
    let own = 1e-20, apart = 0;
    a.forEach((row, c) => row.forEach((v, n) => { own += v * v; apart += (v - b[c][n]) ** 2; }));
    return db(apart / own);
  }

  // An engine beside the one that plays. `rack(values, bypassed)` is the scene's rack with these; free it.
  class Bench {
    constructor(bytes, flat, scene, code) {
      const { Engine, EngineRack } = new Function(`${code}; return { Engine, EngineRack };`)();
      Object.assign(this, { engine: new Engine(bytes), EngineRack, flat, scene });
    }
    rack(values = new Map(), bypassed = new Map()) {
      const rack = new this.EngineRack(this.engine, this.flat, this.scene.rate, this.scene.channels, this.scene.effects.length, this.scene.keys);
      rack.connect(false);
      for (const i of this.scene.bypassed) rack.bypass(i, true);
      for (const [index, value] of values) rack.set(index, value);
      for (const [effect, on] of bypassed) rack.bypass(effect, on);
      const warm = this.rows(256);  // values glide to where they are set
      for (let n = 0; n < 40; ++n) rack.process(warm, 256);
      rack.reset();
      return rack;
    }
    rows(frames) { return Array.from({ length: this.scene.channels }, () => new Float32Array(frames)); }
    // A sound through the rack, in step with it; the page answers meanwhile. Without `keys`, sidechains hear the sound itself.
    async render(rack, sound, keys = []) {
      rack.connect(keys.length > 0);
      let until = performance.now() + BUSY_MS;
      const block = 256, frames = sound[0].length, out = sound.map(() => new Float32Array(frames)), late = rack.latency;
      for (let at = 0; at < frames + late; at += block) {
        const cut = rows => rows.map(row => { const x = new Float32Array(block); x.set(row.subarray(Math.min(at, frames), Math.min(at + block, frames))); return x; });
        const part = cut(sound);
        if (performance.now() > until) {
          await new Promise(later => setTimeout(later));
          until = performance.now() + BUSY_MS;
        }
        rack.process(part, block, keys.map(cut));
        part.forEach((row, c) => {
          for (let n = 0; n < block; ++n) if (at + n >= late && at + n - late < frames) out[c][at + n - late] = row[n];
        });
      }
      return out;
    }
    // The response of each channel to a click of -40 dBFS in all: [Hz, dB] at points of equal distance on a logarithmic axis.
    async response(rack, points = 160) {
      const size = 16384, sound = this.rows(size);
      for (const row of sound) row[0] = 0.01;
      const rows = await this.render(rack, sound);
      return rows.map(row => this.spectrum(row, size, points));
    }
    spectrum(row, size, points) {
      const re = Float64Array.from(row, v => v / 0.01), im = new Float64Array(size);
      fft(re, im);
      const top = Math.min(20000, 0.49 * this.scene.rate);
      return Array.from({ length: points }, (_, i) => {
        const hz = 20 * (top / 20) ** (i / (points - 1)), half = hz * 0.03, from = Math.max(Math.round((hz - half) / this.scene.rate * size), 1);
        const to = Math.max(Math.round((hz + half) / this.scene.rate * size), from);
        let power = 0;
        for (let k = from; k <= to; ++k) power += re[k] ** 2 + im[k] ** 2;
        return [hz, db(power / (to - from + 1))];
      });
    }
    // Level out over level in of each channel, of a tone of 997 Hz that stays for 0.3 s at each: [dBFS in, dBFS out].
    async levels(rack) {
      const { rate } = this.scene, size = Math.round(0.3 * rate), points = this.rows(0).map(() => []);
      for (let level = -60; level <= 0; level += 4) {
        rack.reset();
        const sound = this.rows(size), peak = 10 ** (level / 20);
        for (const row of sound) for (let n = 0; n < size; ++n) row[n] = peak * Math.sin(2 * Math.PI * 997 * n / rate);
        (await this.render(rack, sound)).forEach((y, c) => {
          let power = 0;
          for (let n = size >> 1; n < size; ++n) power += y[n] ** 2;
          points[c].push([level, db(2 * power / (size - (size >> 1)))]);
        });
      }
      return points;
    }
  }
  return { Bench, figures, difference, BANDS };
})();
