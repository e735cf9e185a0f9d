// Level bars, and on a canvas an effect's curve with the spectrum behind it or the working point on it.

const LOWEST = -60, MARGIN = { left: 30, right: 6, top: 6, bottom: 18 };
const BANDS = 120, LOWEST_HZ = 20, HIGHEST_HZ = 20000;

const share = (db) => Math.min(Math.max((db - LOWEST) / -LOWEST, 0), 1);

// A level meter: the bar is the present level, the mark and the number hold the largest for two seconds, all on one scale,
// from -60 to 0 dBFS; the light stays on from a sample at full scale on, until it is clicked (`clips`, by the meter's name).
const HOLD_MS = 2000, FULL_DB = -0.01;
const clips = new Set();
export class Meter {
  constructor(node, text) {
    Object.assign(this, { node, text, held: -120, until: 0, name: node.getAttribute("aria-label") });
    [this.fill, this.mark] = node.children;
    this.light = node.nextLight;
    this.light?.addEventListener("click", () => { clips.delete(this.name); this.lit(); });
    this.lit();
  }
  lit() {
    const on = clips.has(this.name);
    this.node.classList.toggle("clip", on);
    if (this.light) this.light.hidden = !on;
  }
  show(db, now) {
    if (db >= this.held || now > this.until) { this.held = db; this.until = now + HOLD_MS; }
    this.fill.style.transform = `scaleX(${share(db).toFixed(3)})`;
    this.mark.style.left = `${(100 * share(this.held)).toFixed(1)}%`;
    if (db >= FULL_DB && !clips.has(this.name)) { clips.add(this.name); this.lit(); }
  }
  speak() {
    this.text.textContent = this.held > -100 ? this.held.toFixed(1).replace("-", "−") : "−∞";
    this.node.setAttribute("aria-valuenow", Math.min(Math.max(this.held, LOWEST), 0).toFixed(0));
  }
}
// Gain reduction, from the right, over 24 dB.
export class Reduction extends Meter {
  show(db, now) {
    if (db >= this.held || now > this.until) { this.held = db; this.until = now + HOLD_MS; }
    this.fill.style.transform = `scaleX(${Math.min(db / 24, 1).toFixed(3)})`;
    this.mark.style.left = `${(100 - 100 * Math.min(this.held / 24, 1)).toFixed(1)}%`;
  }
  speak() {
    this.text.textContent = this.held > 0.05 ? `−${this.held.toFixed(1)}` : "0.0";
    this.node.setAttribute("aria-valuenow", (-this.held).toFixed(0));
  }
}

let colours = {};
export function readColours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  for (const name of ["ink", "quiet", "line", "strong", "level", "reduce", "input"]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);

export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    canvas.dataset.empty = "";  // until there is a curve
    this.context = canvas.getContext("2d");
    this.curve = null;
    this.levels = null;
    this.seen = true;
    this.placed = () => {};  // called when the axes moved
    this.held = false;  // a band is being dragged
    new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; }).observe(canvas);
  }

  set(curve) {
    this.curve = curve;
    delete this.canvas.dataset.empty;
    const x = curve.log_x ? curve.x.map(Math.log) : curve.x;
    this.x = x;
    this.ends = [x[0], x[x.length - 1]];
    const frequency = curve.log_x;
    const low = Math.min(...curve.y), high = Math.max(...curve.y);
    const level = curve.y_label.includes("dB");
    const room = Math.max(high + 1, low < -60 ? 0 : 1 - low) > 12 ? (Math.max(high + 1, low < -60 ? 0 : 1 - low) > 24 ? 36 : 24) : 12;
    const span = frequency && level ? [-room, room] : [low, high > low ? high : low + 1];
    if (!this.held || !this.span) this.span = span;  // while a band is dragged, a place means the same value
    this.transfer = curve.x_label.startsWith("Level in");
    if (this.transfer) this.span = [-72, Math.max(0, high)];
    this.canvas.setAttribute("aria-label", `${curve.title}: ${curve.y_label} over ${curve.x_label}, from ${low.toFixed(1)} to ${high.toFixed(1)}`);
    this.draw();
  }

  size() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [this.canvas.clientWidth, this.canvas.clientHeight];
  }

  // `point`: [level in, level out] in dB for a transfer curve.
  draw(spectra = null, point = null) {
    if (!this.curve || !this.seen) return;
    const [width, height] = this.size();
    const c = this.context;
    c.clearRect(0, 0, width, height);
    const left = MARGIN.left, right = width - MARGIN.right, top = MARGIN.top, bottom = height - MARGIN.bottom;
    const toX = (x) => left + ((x - this.ends[0]) / (this.ends[1] - this.ends[0])) * (right - left);
    const toY = (y) => bottom - ((y - this.span[0]) / (this.span[1] - this.span[0])) * (bottom - top);
    const axes = [left, right, top, bottom, ...this.ends, ...this.span].join();
    if (axes !== this.axes) {
      this.axes = axes;
      this.place = {
        toX, toY, fromX: (px) => this.ends[0] + (px - left) / (right - left) * (this.ends[1] - this.ends[0]),
        fromY: (py) => this.span[0] + (bottom - py) / (bottom - top) * (this.span[1] - this.span[0]),
      };
      this.placed();
    }
    c.font = "10px system-ui, sans-serif";
    c.fillStyle = colours.quiet;
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    for (const [x, label] of this.ticks()) {
      c.beginPath(); c.moveTo(toX(x), top); c.lineTo(toX(x), bottom); c.stroke();
      c.textAlign = "center"; c.fillText(label, toX(x), height - 5);
    }
    for (const y of this.rules()) {
      c.strokeStyle = y === 0 ? colours.quiet : colours.line;
      c.beginPath(); c.moveTo(left, toY(y)); c.lineTo(right, toY(y)); c.stroke();
      c.textAlign = "right"; c.fillText(Math.abs(y) >= 10 || Number.isInteger(y) ? y.toFixed(0).replace("-", "−") : y.toFixed(1), left - 4, toY(y) + 3);
    }
    if (spectra && this.curve.log_x) {
      this.spectrum(spectra.before, colours.input, toX, top, bottom, false);
      this.spectrum(spectra.after, colours.level, toX, top, bottom, true);
    }
    c.strokeStyle = colours.strong;
    c.lineWidth = 2;
    c.beginPath();
    for (let i = 0; i < this.x.length; ++i) {
      const y = Math.min(Math.max(this.curve.y[i], this.span[0]), this.span[1]);
      i === 0 ? c.moveTo(toX(this.x[i]), toY(y)) : c.lineTo(toX(this.x[i]), toY(y));
    }
    c.stroke();
    if (point && this.transfer && point[0] > -72) {
      c.fillStyle = colours.reduce;
      c.beginPath();
      c.arc(toX(Math.min(point[0], this.ends[1])), toY(Math.min(Math.max(point[1], this.span[0]), this.span[1])), 5, 0, 7);
      c.fill();
    }
  }

  spectrum(levels, colour, toX, top, bottom, filled) {
    const c = this.context;
    c.beginPath();
    for (let i = 0; i < BANDS; ++i) {
      const x = toX(Math.log(LOWEST_HZ) + ((i + 0.5) / BANDS) * Math.log(HIGHEST_HZ / LOWEST_HZ));
      const y = bottom - Math.min(Math.max((levels[i] + 96) / 96, 0), 1) * (bottom - top);
      i === 0 ? c.moveTo(x, y) : c.lineTo(x, y);
    }
    c.strokeStyle = colour;
    c.lineWidth = 1;
    c.stroke();
    if (!filled) return;
    c.lineTo(toX(Math.log(HIGHEST_HZ)), bottom);
    c.lineTo(toX(Math.log(LOWEST_HZ)), bottom);
    c.globalAlpha = 0.15;
    c.fillStyle = colour;
    c.fill();
    c.globalAlpha = 1;
  }

  // Where the horizontal lines lie: 0 dB and steps of 6 or 12 dB for levels and gains.
  rules() {
    const [low, high] = this.span;
    if (!(this.transfer || (this.curve.log_x && this.curve.y_label.includes("dB")))) return [0, 1, 2, 3, 4].map((i) => low + i * (high - low) / 4);
    const step = high - low > 30 ? 12 : 6, lines = [];
    for (let y = Math.ceil(low / step) * step; y <= high; y += step) lines.push(y);
    return lines;
  }

  ticks() {
    if (this.curve.log_x) {
      const narrow = this.canvas.clientWidth < 330;
      return [[20, "20"], [50, "50"], [100, "100"], [200, "200"], [500, "500"], [1000, "1k"], [2000, "2k"], [5000, "5k"], [10000, "10k"], [20000, "20k"]]
        .filter(([hz]) => !narrow || ![50, 200, 500, 2000, 5000].includes(hz) || [200, 2000].includes(hz))
        .map(([hz, label]) => [Math.log(hz), label]).filter(([x]) => x >= this.ends[0] && x <= this.ends[1]);
    }
    const step = (this.ends[1] - this.ends[0]) / 4;
    return [0, 1, 2, 3, 4].map((i) => {
      const x = this.ends[0] + i * step;
      return [x, Math.abs(x) >= 10 ? x.toFixed(0) : Number(x.toPrecision(2)).toString()];
    });
  }
}
