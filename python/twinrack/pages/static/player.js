// The player of a page: transport, what is heard, and a knob for every value. The sound is made in the audio thread
// (worklet.js); nothing leaves this machine.
const Twinrack = (() => {
  const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const unpacked = async text => {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const textOf = name => document.querySelector(`script.${name}`).textContent;
  const rowsOf = (buffer, channels) =>
    Array.from({ length: channels }, (_, c) => buffer.getChannelData(Math.min(c, buffer.numberOfChannels - 1)).slice());
  const element = (kind, attributes = {}, ...children) => {
    const node = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) {
      name in node && name !== "list" ? node[name] = value : node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };

  // The node of an audio context. A module is given as a data address, as pages that are files may load no other.
  async function nodeOf(context, scene, sounds, more = {}) {
    await context.audioWorklet.addModule("data:text/javascript;base64," + btoa(`${textOf("tr-code")}\n${textOf("tr-worklet")}`));
    const racks = {};
    for (const [name, flat] of Object.entries(scene.racks)) racks[name] = await unpacked(flat);
    const processorOptions = {
      bytes: await unpacked(textOf("tr-engine")), racks, sounds, main: scene.main, channels: scene.channels,
      effects: scene.effects.length, bypassed: scene.bypassed, heard: scene.main, stems: sounds.stems, keys: sounds.keys, ...more,
    };
    const node = new AudioWorkletNode(context, "twinrack-player", {
      processorOptions, numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [scene.channels],
      channelCount: scene.channels, channelCountMode: "explicit",
    });
    node.ready = new Promise((resolve, reject) => {
      node.port.onmessage = ({ data }) => {
        if (data.ready) resolve(data);
        if (data.problem) reject(new Error(data.problem));
        node.heard?.(data);
      };
      node.onprocessorerror = () => reject(new Error("this browser stopped the engine; reload the page"));
    });
    return node;
  }
  async function soundsOf(context, scene) {
    const sounds = {};
    for (const [name, address] of Object.entries(scene.sounds)) {
      const data = bytesOf(address.slice(address.indexOf(",") + 1));
      sounds[name] = rowsOf(await context.decodeAudioData(data.buffer), scene.channels);
    }
    if (scene.keys > 0) {
      sounds.keys = Array.from({ length: scene.keys }, (_, k) => sounds[`key ${k}`]);
      for (let k = 0; k < scene.keys; ++k) delete sounds[`key ${k}`];
    }
    if (scene.stems.length > 0) {  // the dry sound is their sum
      sounds.stems = scene.stems.map((_, i) => sounds[`stem ${i}`]);
      const frames = Math.max(...sounds.stems.map(rows => rows[0].length));
      sounds.dry = Array.from({ length: scene.channels }, () => new Float32Array(frames));
      for (const rows of sounds.stems) rows.forEach((row, c) => row.forEach((v, n) => { row[n] = v * scene.stem_scale; sounds.dry[c][n] += row[n]; }));
      for (let i = 0; i < scene.stems.length; ++i) delete sounds[`stem ${i}`];
    }
    return sounds;
  }

  // The sound of the scene without an audio device: an array for each channel, and how long
  // it took.
  async function offline(scene, seconds, more = {}) {
    const frames = Math.round(seconds * scene.rate);
    const context = new OfflineAudioContext(scene.channels, frames, scene.rate);
    const sounds = more.sounds ?? await soundsOf(context, scene);
    const node = await nodeOf(context, scene, sounds, { playing: true, once: true, ...more });
    node.connect(context.destination);
    await node.ready.then(ready => { node.latency = ready.latency; node.target = ready.target; });
    const began = performance.now(), buffer = await context.startRendering();
    return { rows: rowsOf(buffer, scene.channels), seconds: (performance.now() - began) / 1000, latency: node.latency, target: node.target };
  }

  const MEASURED_S = 30;
  // Curves of "as it is" and "as moved" by channel: the second channel only where it differs.
  const drawable = pairs => {
    const [before, now] = pairs, differs = now.length > 1 && now[0].some(([, y], i) => Math.abs(y - now[1][i][1]) > 0.1);
    return [before[0], now[0], ...(differs ? [now[1]] : [])];
  };
  const LABELS = { dry: "Dry", target: "Target", difference: "Difference" };
  const shown = (value, unit) => {
    const size = Math.abs(value), digits = size >= 1000 ? 0 : size >= 100 ? 0 : size >= 10 ? 1 : 2;
    const number = (unit === "Hz" && size >= 1000 ? (value / 1000).toFixed(2) : value.toFixed(digits)).replace(/^-(0\.?0*)$/, "$1");
    return `${number.replace("-", "−")}${unit === "Hz" && size >= 1000 ? " kHz" : unit ? ` ${unit}` : ""}`;
  };

  // A small figure: curves as [x, y] points, the first grey ("as it is"), the second blue; dB upwards.
  function curve(title, curves, { log = false, x: [left, right], ticks, unit, diagonal = false }) {
    const width = 420, height = 190, box = [38, 8, width - 10, height - 26], ys = curves.flat().map(([, y]) => Math.max(y, -90));
    const low = Math.min(Math.max(Math.floor((Math.min(...ys) - 1) / 6) * 6, -72), -6), high = Math.max(Math.ceil((Math.max(...ys) + 1) / 6) * 6, diagonal ? 0 : 6);
    const toX = v => box[0] + (log ? Math.log(v / left) / Math.log(right / left) : (v - left) / (right - left)) * (box[2] - box[0]);
    const toY = v => box[3] - (Math.min(Math.max(v, low), high) - low) / (high - low) * (box[3] - box[1]);
    const node = (kind, attributes, text = "") => { const n = document.createElementNS("http://www.w3.org/2000/svg", kind); for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v); n.textContent = text; return n; };
    const figure = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }), step = high - low > 48 ? 12 : 6;
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) {
      figure.append(node("line", { x1: box[0], x2: box[2], y1: toY(v), y2: toY(v), class: v === 0 ? "zero" : "grid" }), node("text", { x: box[0] - 5, y: toY(v) + 4, "text-anchor": "end" }, String(v).replace("-", "−")));
    }
    for (const t of ticks.filter(t => t >= left && t <= right)) {
      figure.append(node("line", { x1: toX(t), x2: toX(t), y1: box[1], y2: box[3], class: "grid" }), node("text", { x: toX(t), y: height - 12, "text-anchor": "middle" }, (log && t >= 1000 ? `${t / 1000}k` : String(t)).replace("-", "−")));
    }
    curves.forEach((points, i) => figure.append(node("polyline", { points: points.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(" "), class: ["before", "now", "right"][i] })));
    if (curves.length > 2) figure.append(node("text", { x: box[0] + 6, y: box[1] + 12 }, "dashed: right channel"));
    figure.append(node("text", { x: box[2], y: height - 1, "text-anchor": "end" }, unit));
    return element("figure", {}, element("figcaption", {}, `${title}, dB`), figure);
  }

  class Page {
    constructor(root, scene) {
      Object.assign(this, { root, scene, context: null, node: null, heard: scene.main, matched: true, loop: null, at: 0, stream: null });
      this.controls = new Map();
      this.setters = new Map();  // by address: sets a value, and its knob
      this.draw();
    }

    // --- the sound

    // Once, however often it is asked for; what was chosen meanwhile is sent when the engine is there.
    async start() {
      this.starting ??= this.begin();
      try {
        await this.starting;
      } catch (error) {
        this.starting = null;
        throw error;
      }
      await this.context.resume();
    }
    async begin() {
      const context = new AudioContext({ sampleRate: this.scene.rate, latencyHint: "interactive" });
      try {
        const sounds = await soundsOf(context, this.scene);
        const node = await nodeOf(context, this.scene, sounds);
        await node.ready;
        node.heard = data => this.follow(data);
        node.connect(context.destination);
        Object.assign(this, { context, node, sounds, peaks: null });
      } catch (error) {
        await context.close();
        throw error;
      }
      for (const [index, value] of this.moved ?? []) this.send({ set: [index, value] });
      for (const [effect, on] of this.switched ?? []) this.send({ bypass: [effect, on] });
      if (this.loop) this.send({ loop: this.loop });
      this.strips.forEach((_, i) => this.send({ stem: [i, this.stemGain(i)] }));
      this.send({ seek: this.at, heard: this.heard, effect: this.effectHeard, gains: this.gains() });
      this.cursor();
    }
    async play(on) {
      try {
        if (on) await this.start();
        this.playing = on;
        this.send({ playing: on });
        if (!on && !this.stream) await this.context?.suspend();
        this.button.textContent = on ? "Pause" : "Play";
        this.root.dataset.state = on ? "playing" : "paused";
        this.problem.textContent = "";
      } catch (error) { this.fail(error); }
    }
    send(message) { this.node?.port.postMessage(message); }
    gains() { return this.matched ? { ...this.scene.gains, change: this.scene.gains[this.scene.main], difference: this.scene.gains.target } : {}; }
    fail(error) {
      this.problem.textContent = `The page cannot play this: ${error.message}`;
      this.root.dataset.state = "failed";
    }
    follow(data) {
      if (data.problem) return this.fail(new Error(data.problem));
      if (data.at === undefined) return;
      this.at = data.at;
      if (document.activeElement !== this.position) this.position.value = data.at / this.scene.rate;
      this.time.textContent = `${(data.at / this.scene.rate).toFixed(1)} s`;
      this.cursor();
      data.stems?.forEach((peak, i) => this.strips[i]?.show(peak));
      this.scene.effects.forEach((effect, i) => {
        const reduction = data.meters[6 * i + 4], db = x => x > 1e-6 ? (20 * Math.log10(x)).toFixed(1).replace("-", "−") : "−∞";
        this.meters[i].textContent = `out ${db(data.meters[6 * i + 1])} dB${reduction > 0.05 ? ` · GR ${reduction.toFixed(1)} dB` : ""}`;
      });
    }

    // --- the page

    draw() {
      const { scene } = this, every = ["dry", ...Object.keys(scene.racks).filter(n => n !== scene.main).reverse(), scene.main];
      if (scene.sounds.target) every.push("target", "difference");
      this.button = element("button", { type: "button", className: "tr-play", onclick: () => this.play(!this.playing) }, "Play");
      this.time = element("span", { className: "tr-meter" }, "0.0 s");
      this.wave = element("canvas", { className: "tr-wave", role: "img", "aria-label": "The recording: drag over a part to loop it" });
      this.problem = element("p", { className: "tr-problem", role: "alert" });
      this.match = element("input", { type: "checkbox", checked: true, onchange: () => { this.matched = this.match.checked; this.send({ gains: this.gains() }); } });
      this.position = element("input", { type: "range", min: 0, max: scene.seconds, step: 0.1, value: 0, "aria-label": "Position in s" });
      this.position.addEventListener("input", () => this.seek(Math.round(this.position.value * scene.rate)));
      const from = element("button", { type: "button", title: "The loop begins at the present position", onclick: () => this.setLoop([this.at, this.loop?.[1] > this.at ? this.loop[1] : this.length()]) }, "Loop from here");
      const to = element("button", { type: "button", title: "The loop ends at the present position", onclick: () => this.setLoop([this.loop?.[0] < this.at ? this.loop[0] : 0, Math.max(this.at, 1)]) }, "to here");
      const all = element("button", { type: "button", onclick: () => this.setLoop(null) }, "Whole recording");
      const file = element("input", { type: "file", accept: "audio/*", onchange: () => this.open(file.files[0]) });
      this.microphone = element("button", { type: "button", onclick: () => this.listen() }, "Microphone");
      this.choice = element("span", { className: "tr-choice", role: "radiogroup", "aria-label": "Heard" });
      every.forEach((name, i) => this.choice.append(this.option(name, name === "dry" && scene.stems.length ? "Before the master" : LABELS[name] ?? name, i + 1)));
      this.root.append(
        element("div", { className: "tr-bar" }, this.button, this.choice, element("label", {}, this.match, " at equal loudness")),
        this.wave,
        element("div", { className: "tr-bar" }, this.time, this.position, from, to, all, ...(scene.stems.length ? [] : [element("label", { className: "tr-file" }, "Your own sound…", file), this.microphone]),
          element("button", { type: "button", onclick: () => this.reset() }, `Back to “${scene.main}”`)),
        this.problem);
      this.root.setAttribute("role", "group");
      this.root.setAttribute("aria-label", scene.title);
      this.strips = scene.stems.map((name, i) => this.strip(name, i));
      if (this.strips.length) this.root.append(element("div", { className: "tr-strips", role: "group", "aria-label": "Channels" }, ...this.strips.map(s => s.element)));
      const effects = element("div", { className: "tr-effects" });
      this.meters = scene.effects.map((effect, i) => this.effect(effects, effect, i));
      this.root.append(effects, this.panel(), element("p", { className: "tr-note" },
        `The engine itself plays in this page, at ${scene.rate} Hz; sounds are stored as ${scene.stored}. Keys 1 to ${every.length} choose what is heard; drag over the recording to loop a part. Nothing leaves this machine.`));
      this.root.addEventListener("keydown", event => {
        const box = this.choice.children[Number(event.key) - 1]?.querySelector("input");
        if (box && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(select|textarea)$/i.test(event.target.tagName)) box.click();
      });
      this.peaks = null;
      this.listenToWave();
      this.root.dataset.state = "paused";
    }
    // A channel of a mix: fader, mute, solo, and the peak of what it adds.
    strip(name, i) {
      const strip = { gain: 0, mute: false, solo: false, peak: -90 };
      const fader = element("input", { type: "range", min: -60, max: 12, step: 0.5, value: 0, "aria-label": `${name}: fader` }), text = element("output");
      const meter = element("meter", { min: -60, max: 6, high: 0, value: -60, "aria-label": `${name}: peak in dBFS` });
      const buttons = [["mute", "Mute"], ["solo", "Solo"]].map(([key, label]) => {
        const button = element("button", { type: "button", "aria-label": `${label} ${name}`, onclick: () => { strip[key] = !strip[key]; button.setAttribute("aria-pressed", strip[key]); this.sendStems(); } }, label);
        button.setAttribute("aria-pressed", false);
        return button;
      });
      const show = () => { text.textContent = strip.gain <= -60 ? "−∞ dB" : shown(strip.gain, "dB"); fader.setAttribute("aria-valuetext", text.textContent); };
      fader.addEventListener("input", () => { strip.gain = Number(fader.value); show(); this.sendStems(); });
      fader.addEventListener("dblclick", () => { strip.back(); this.sendStems(); });
      show();
      strip.back = () => { Object.assign(strip, { gain: 0, mute: false, solo: false }); fader.value = 0; show(); for (const b of buttons) b.setAttribute("aria-pressed", false); };
      strip.show = peak => { strip.peak = Math.max(20 * Math.log10(Math.max(peak, 1e-5)), strip.peak - 1.5); meter.value = strip.peak; };
      strip.element = element("div", { className: "tr-strip" }, element("span", { className: "tr-name", title: name }, name), fader, text, ...buttons, meter);
      return strip;
    }
    stemGain(i) {
      const { gain, mute, solo } = this.strips[i], alone = this.strips.some(s => s.solo);
      return mute || gain <= -60 || (alone && !solo) ? 0 : 10 ** (gain / 20);
    }
    sendStems() { this.strips.forEach((_, i) => this.send({ stem: [i, this.stemGain(i)] })); }
    option(name, label, number) {
      const radio = element("input", { type: "radio", name: `heard-${this.root.dataset.number}`, value: name, checked: name === this.heard });
      radio.addEventListener("change", () => this.hear(name));
      return element("label", { title: `Key ${number}` }, radio, label);
    }
    hear(name, effect) {
      this.heard = name;
      this.effectHeard = effect;
      for (const solo of this.root.querySelectorAll(".tr-solo")) solo.setAttribute("aria-pressed", name === "change" && Number(solo.dataset.effect) === effect);
      for (const radio of this.choice.querySelectorAll("input")) radio.checked = radio.value === name;
      this.send({ heard: name, effect });
    }
    effect(into, effect, i) {
      const meter = element("span", { className: "tr-meter" }), values = element("div", { className: "tr-values" });
      const more = element("details", {}, element("summary", {}, "More"));
      const on = element("input", { type: "checkbox", checked: !effect.bypass, "aria-label": `${effect.name} on` });
      const card = element("section", { className: "tr-effect", title: effect.purpose });
      on.addEventListener("change", () => {
        card.classList.toggle("tr-off", !on.checked);
        (this.switched ??= new Map()).set(i, !on.checked);
        this.send({ bypass: [i, !on.checked] });
        this.changed();
      });
      card.classList.toggle("tr-off", effect.bypass);
      const head = element("header", {}, element("h4", {}, effect.name), element("label", {}, on, " on"));
      if (this.scene.one_after_the_other) {
        const solo = element("button", { type: "button", className: "tr-solo", title: "Hear only what this block takes away or adds", "aria-label": `What ${effect.name} changes` }, "What it changes");
        solo.dataset.effect = i;
        solo.setAttribute("aria-pressed", false);
        solo.addEventListener("click", () => {
          const pressed = this.heard === "change" && solo.getAttribute("aria-pressed") === "true";
          pressed ? this.hear(this.scene.main) : this.hear("change", i);
        });
        head.append(solo);
      }
      for (const p of effect.parameters) (p.daily ? values : more).append(this.value(effect, p));
      card.append(head, meter, values);
      if (more.children.length > 1) values.append(more);
      this.controls.set(`bypass ${i}`, () => { on.checked = !effect.bypass; card.classList.toggle("tr-off", effect.bypass); });
      into.append(card);
      return meter;
    }
    value(effect, p) {
      const label = `${effect.name}: ${p.name}`, row = element("div", { className: "tr-value", title: p.doc });
      const send = value => { (this.moved ??= new Map()).set(p.index, value); this.send({ set: [p.index, value] }); this.changed(); };
      row.append(element("span", {}, p.name));
      if (p.kind !== "continuous") {
        const names = p.kind === "switch" ? ["off", "on"] : p.options;
        const select = element("select", { "aria-label": label, onchange: () => send(Number(select.value)) });
        names.forEach((name, i) => select.append(element("option", { value: i, selected: i === p.value }, name)));
        row.append(select);
        this.controls.set(p.index, () => { select.value = p.value; });
        this.setters.set(p.address, value => { select.value = value; send(value); });
        return row;
      }
      const slider = element("input", { type: "range", min: 0, max: 1, step: 0.001, "aria-label": label }), text = element("output");
      const toValue = t => p.log ? p.min * (p.max / p.min) ** t : p.min + (p.max - p.min) * t;
      const toPosition = v => p.log ? Math.log(v / p.min) / Math.log(p.max / p.min) : (v - p.min) / (p.max - p.min);
      const show = value => {
        text.textContent = shown(value, p.unit);
        text.classList.toggle("tr-odd", value < p.expected[0] || value > p.expected[1]);
        text.title = `expected ${p.expected[0]} to ${p.expected[1]} ${p.unit}`;
        slider.setAttribute("aria-valuetext", text.textContent);
      };
      slider.addEventListener("input", () => { const value = toValue(Number(slider.value)); show(value); send(value); });
      slider.addEventListener("dblclick", () => { back(); send(p.value); });
      const back = () => { slider.value = toPosition(p.value); show(p.value); };
      back();
      slider.dataset.address = p.address;
      this.setters.set(p.address, value => { slider.value = toPosition(value); show(value); send(value); });
      row.append(slider, text);
      this.controls.set(p.index, back);
      return row;
    }
    reset() {
      this.moved = new Map();
      this.switched = new Map();
      for (const back of this.controls.values()) back();
      for (const strip of this.strips) strip.back();
      this.send({ reset: true });
      this.sendStems();
      this.changed();
    }
    // Values by address, as if their knobs were moved.
    move(values) {
      for (const [address, value] of Object.entries(values)) {
        const set = this.setters.get(address);
        if (!set) throw new Error(`there is no value ${address}`);
        set(value);
      }
    }

    // --- measured in the page

    panel() {
      this.curves = element("div", { className: "tr-curves" });
      this.figures = element("div", { className: "tr-figures", role: "status" });
      const measure = element("button", { type: "button", className: "tr-measure", onclick: () => this.measure() }, "Measure the sound");
      this.measured = element("details", { className: "tr-measured", open: this.scene.effects.length === 1 && this.root.closest("details") === null, ontoggle: () => this.changed() }, element("summary", {}, "Curves and figures, measured now"), this.curves,
        element("p", {}, measure, element("span", { className: "tr-note" }, ` loudness, peak, level and bands of the recording (at most ${MEASURED_S} s) through “${this.scene.main}”, as it is and as you moved it`)), this.figures);
      return this.measured;
    }
    async bench() {
      this.benched ??= Promise.all([unpacked(textOf("tr-engine")), unpacked(this.scene.racks[this.scene.main])])
        .then(([bytes, flat]) => new Measures.Bench(bytes, flat, this.scene, textOf("tr-code")));
      return this.benched;
    }
    // Draws the curves again, soon, where they are looked at.
    changed() {
      if (!this.measured?.open) return;
      clearTimeout(this.soon);
      this.soon = setTimeout(() => this.drawCurves().catch(error => this.fail(error)), 120);
    }
    async drawCurves() {
      const bench = await this.bench(), mine = this.drawing = {};
      const now = bench.rack(this.moved, this.switched), before = bench.rack();
      const response = [await bench.response(before), await bench.response(now)], levels = [await bench.levels(before), await bench.levels(now)];
      now.free();
      before.free();
      if (mine !== this.drawing) return;  // moved again meanwhile
      const bends = levels.flat().some(points => points.some(([x, y]) => Math.abs((y - x) - (points[0][1] - points[0][0])) > 0.2));
      this.curves.replaceChildren(
        curve("Response to a quiet click", drawable(response), { log: true, x: [20, Math.min(20000, 0.49 * this.scene.rate)], ticks: [20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000], unit: "Hz" }),
        ...(bends ? [curve("Level out over level in, a tone of 997 Hz", drawable(levels), { x: [-60, 0], ticks: [-60, -50, -40, -30, -20, -10, 0], unit: "dBFS", diagonal: true })] : []));
    }
    async measure() {
      this.figures.textContent = "Measuring …";
      try {
        const bench = await this.bench(), sounds = this.sounds ?? await soundsOf(new OfflineAudioContext(this.scene.channels, 1, this.scene.rate), this.scene);
        const most = Math.round(MEASURED_S * this.scene.rate), dry = sounds.dry.map(row => row.slice(0, most));
        // The stems at their faders go into the rack as it was moved.
        const mixed = !sounds.stems ? dry : dry.map((row, c) => row.map((_, n) => sounds.stems.reduce((sum, rows, i) => sum + this.stemGain(i) * (rows[c][n] ?? 0), 0)));
        const racks = [bench.rack(), bench.rack(this.moved, this.switched)];
        const keys = (sounds.keys ?? []).map(key => key.map(row => row.slice(0, most)));
        const before = await bench.render(racks[0], dry, keys), now = await bench.render(racks[1], mixed, keys);
        for (const rack of racks) rack.free();
        const rows = [["dry", dry], ["as it is", before], ["as you moved it", now]].map(([name, y]) => [name, Measures.figures(y, this.scene.rate)]);
        const number = v => v <= -69.9 ? "silent" : v.toFixed(1).replace("-", "−"), cell = text => element("td", {}, text);
        const table = element("table", {}, element("tr", {}, ...["", "Loudness, LUFS", "Peak, dBFS", "Loud above quiet, dB", ...Measures.BANDS.map(([, , name]) => `${name}, dB`)].map(t => element("th", { scope: "col" }, t))));
        for (const [name, f] of rows) {
          table.append(element("tr", {}, element("th", { scope: "row" }, name), cell(number(f.loudness)), cell(number(f.peak)), cell(number(f.spread)),
            ...f.bands.map((b, i) => cell(number(b - rows[0][1].bands[i])))));
        }
        const apart = Measures.difference(before, now);
        this.figures.replaceChildren(table, element("p", { className: "tr-note" }, apart < -120 ? "Nothing was moved, or nothing of it is heard." : `As you moved it, it differs from what it is by ${number(apart)} dB of its energy. Bands are relative to the dry sound.`));
        this.last = Object.fromEntries(rows);
      } catch (error) { this.fail(error); this.figures.textContent = ""; }
    }

    // --- own sounds

    async open(file) {
      if (!file) return;
      try {
        await this.start();
      } catch (error) { return this.fail(error); }
      let rows;
      try {
        rows = rowsOf(await this.context.decodeAudioData(await file.arrayBuffer()), this.scene.channels);
      } catch { return this.fail(new Error(`${file.name} is not a sound that this browser reads; give WAV, FLAC, MP3 or AAC`)); }
      this.close();
      this.send({ sound: rows });
      Object.assign(this, { sounds: { dry: rows }, loop: null, peaks: null, at: 0 });
      this.position.max = rows[0].length / this.scene.rate;
      this.own();
      this.cursor();
      await this.play(true);
    }
    // Another sound than the recording: there is no target for it, and its loudness is not known.
    own() {
      for (const radio of this.choice.querySelectorAll("[value=target], [value=difference]")) radio.closest("label").remove();
      if (this.heard === "target" || this.heard === "difference") this.hear(this.scene.main);
      this.matched = this.match.checked = false;
      this.match.disabled = true;
      this.match.parentElement.title = "The loudness of your own sound is not measured";
      this.send({ gains: this.gains() });
    }
    close() {
      for (const track of this.stream?.getTracks() ?? []) track.stop();
      this.microphoneSource?.disconnect();
      this.stream = this.microphoneSource = null;
      this.microphone.setAttribute("aria-pressed", false);
      this.send({ live: false });
    }
    async listen() {
      if (this.stream) return this.close();
      try {
        await this.start();
        this.stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
      } catch (error) { return this.fail(new Error(`there is no microphone for this page (${error.message}); allow it, and wear headphones`)); }
      this.microphoneSource = this.context.createMediaStreamSource(this.stream);
      this.microphoneSource.connect(this.node);
      this.own();
      this.send({ live: true });
      this.microphone.setAttribute("aria-pressed", true);
    }

    // --- the recording, drawn

    seek(frame) {
      this.at = frame;
      this.send({ seek: frame });
      this.cursor();
    }
    setLoop(loop) {
      this.loop = loop;
      this.send({ loop: loop ?? [0, this.length()] });
      this.cursor();
    }
    length() { return this.sounds ? this.sounds.dry[0].length : Math.round(this.scene.seconds * this.scene.rate); }
    listenToWave() {
      const frame = event => {
        const box = this.wave.getBoundingClientRect();
        return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.length();
      };
      let from = null;
      this.wave.addEventListener("pointerdown", event => { from = frame(event); this.wave.setPointerCapture(event.pointerId); });
      this.wave.addEventListener("pointermove", event => {
        if (from === null) return;
        const [a, b] = [from, frame(event)].sort((x, y) => x - y);
        if (b - a > 0.05 * this.scene.rate) this.setLoop([Math.round(a), Math.round(b)]);
      });
      this.wave.addEventListener("pointerup", event => {
        const at = frame(event);
        if (from !== null && Math.abs(at - from) <= 0.05 * this.scene.rate) this.seek(Math.round(at));
        from = null;
      });
      new ResizeObserver(() => { this.peaks = null; this.cursor(); }).observe(this.wave);
    }
    cursor() {
      const ratio = devicePixelRatio || 1, width = Math.round(this.wave.clientWidth * ratio), height = Math.round(72 * ratio);
      if (width === 0) return;
      const style = getComputedStyle(this.root), pen = this.wave.getContext("2d");
      if (this.wave.width !== width || this.wave.height !== height) [this.wave.width, this.wave.height] = [width, height];
      const row = this.sounds?.dry[0], drawn = this.scene.peaks;
      if (this.peaks === null) {
        this.peaks = Array.from({ length: width }, (_, i) => {
          if (!row) return drawn[Math.floor(i * drawn.length / width)];
          let peak = 0;
          for (let n = Math.floor(i * row.length / width), end = Math.floor((i + 1) * row.length / width); n < end; ++n) peak = Math.max(peak, Math.abs(row[n]));
          return peak;
        });
      }
      pen.clearRect(0, 0, width, height);
      const toX = frame => frame / this.length() * width;
      if (this.loop) {
        pen.fillStyle = "#2b6cb033";
        pen.fillRect(toX(this.loop[0]), 0, toX(this.loop[1] - this.loop[0]), height);
      }
      pen.fillStyle = style.getPropertyValue("--soft") || style.color;
      this.peaks.forEach((p, i) => pen.fillRect(i, height / 2 * (1 - p), 1, Math.max(ratio, height * p)));
      pen.fillStyle = "#2b6cb0";
      pen.fillRect(toX(this.at), 0, 2 * ratio, height);
    }
  }

  const pages = [];
  document.querySelectorAll(".tr-player").forEach((root, i) => {
    root.dataset.number = i;
    const scene = JSON.parse(root.nextElementSibling.textContent);
    pages.push(new Page(root, scene));
  });
  return { pages, offline };
})();
