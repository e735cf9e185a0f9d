// The page: what twinrack tells is shown, what a person does is sent. Built anew when the structure changes; values, levels
// and curves change in place.

import { control, element, learning, words } from "./controls.js";
import { FLAT, handles } from "./handles.js";
import { Meter, Plot, Reduction, readColours } from "./draw.js";
import { Link } from "./link.js";

const $ = (id) => document.getElementById(id);
const shown = new Map();   // controls by address
const effects = new Map(); // what moves of an effect, by address
let order = [];            // effects in the order of the levels
let outputs = [];
let state = null;
let latest = null;
let spoken = 0;
let unanswered = false;
const curves = new Map();

const link = new Link({ state: rebuild, set: ({ address, to }) => value(address, to), curve, levels, event, error: (m) => news(m.words, true), closed });
const send = (message) => link.send(message);

function value(address, to) {
  state.values[address] = to;
  shown.get(address)?.show(to);
  moved(address);
  if (address.endsWith(".bypass")) bypassed(address.replace(/\.bypass$/, ""), to);
}

// A value of an effect moved: its bands and their summaries follow.
function moved(address) {
  const cut = address.indexOf(".", address.lastIndexOf("/") + 1);
  if (cut > 0) effects.get(address.slice(0, cut))?.moved(address);
}

function change(address, to) {
  value(address, to);
  send({ do: "set", address, to });
}

function bypassed(address, on) {
  const effect = effects.get(address);
  if (!effect) return;
  effect.node.classList.toggle("bypassed", on);
  effect.bypass.setAttribute("aria-pressed", on);
}

function news(words, alarm = false) {
  $("news").textContent = words;
  $("news").classList.toggle("alarm", alarm);
}

function event({ at, kind, words: text }) {
  news(text, ["lost", "fault", "howl"].includes(kind));
  if (at) listed([at, kind, text]);
}

function listed([at, , text]) {
  $("events").prepend(element("li", {}, `${at.toFixed(1)} s: ${text}`));
}

function closed(code) {
  unanswered = true;
  news(code === 4403 ? "The token is wrong; open the address that twinrack printed." : "twinrack does not answer; trying again…", true);
}

function options(list, names, empty) {
  const before = list.value;
  list.replaceChildren(...(names.length ? names : [""]).map((n) => element("option", { value: n }, n || empty)));
  if (names.includes(before)) list.value = before;
}

// --- building ---------------------------------------------------------------------------------------------------------

function rebuild(message) {
  const focus = document.activeElement?.closest?.("[data-address]")?.dataset.address, pressed = document.activeElement?.dataset?.focus;
  const open = new Set([...document.querySelectorAll("details[open]")].map((d) => d.dataset.group));
  state = message;
  shown.clear();
  effects.clear();
  order = state.effects;
  document.title = `twinrack: ${state.lines.map((l) => l.rack).join(", ")}`;
  $("title").textContent = state.lines.map((l) => l.rack).join(" + ");
  $("where").textContent = `${state.input} → ${state.output}, ${state.sample_rate} Hz, blocks of ${state.block_size}`;
  const parts = Object.entries(state.latencies_ms);
  $("latency").textContent = `${parts.reduce((sum, [, ms]) => sum + ms, 0).toFixed(1)} ms`;
  $("latency").title = parts.map(([what, ms]) => `${what} ${ms.toFixed(1)} ms`).join(", ");
  $("side").textContent = `Hear ${state.side === "A" ? "B" : "A"} (now ${state.side})`;
  $("record").setAttribute("aria-pressed", state.recording);
  options($("snapshots"), state.snapshots, "none yet");
  options($("presets"), state.presets, "none");
  menu();
  heard();
  document.body.classList.toggle("no-midi", !state.has_midi);
  $("safety").replaceChildren(...Object.entries(PROTECTION).map(([part, label]) => {
    const button = element("button", { onclick: () => send({ do: "protect", part, on: !state.safety[part] }) }, label);
    button.dataset.focus = `protect ${part}`;
    button.setAttribute("aria-pressed", state.safety[part]);
    return button;
  }));
  outputs = Array.from({ length: state.outputs }, (_, i) => meter(`Output ${i + 1}`));
  $("outputs").replaceChildren(...outputs.flatMap((o, i) => [element("b", {}, state.outputs === 2 ? "LR"[i] : `${i + 1}`), o.node, o.side]), element("div", { className: "scale", "aria-hidden": "true" }, ...[-60, -48, -36, -24, -12, 0].map((t) => element("span", {}, `${t}`.replace("-", "−")))));
  $("lines").replaceChildren(...state.lines.map(line));
  controllers();
  for (const [address, message] of curves) effects.get(address)?.plot.set(message);
  for (const d of document.querySelectorAll("details")) if (open.has(d.dataset.group)) d.open = true;
  jump();
  $("events").replaceChildren();
  state.events.forEach(listed);
  if (unanswered) news("");
  unanswered = false;
  if (pressed) document.querySelector(`[data-focus="${CSS.escape(pressed)}"]`)?.focus();
  if (focus) document.querySelector(`[data-address="${CSS.escape(focus)}"] input, [data-address="${CSS.escape(focus)}"] select`)?.focus();
}

// The learned MIDI controls: how each is read, and a button to forget it. The button beside a value names its control.
function controllers() {
  $("midi").hidden = !state.midi.length;
  $("controls").replaceChildren(...state.midi.map((c) => {
    const mode = element("select", { onchange: () => send({ ...c, do: "mode", mode: mode.value }) }, ...c.modes.map((m) => element("option", { value: m }, m.replaceAll("_", " "))));
    mode.value = c.mode;
    mode.setAttribute("aria-label", `How ${c.words} is read`);
    const forget = element("button", { type: "button", onclick: () => send({ do: "forget", address: c.address }) }, "Forget");
    forget.setAttribute("aria-label", `Forget ${c.words}`);
    const button = document.querySelector(`[data-learns="${CSS.escape(c.address)}"]`);
    if (button) button.textContent = c.words.split(",")[0];
    return element("li", {}, `${c.words} → ${c.address} `, mode, " ", forget);
  }));
}

const PROTECTION = { limiter: "Limiter", mute_on_fault: "Mute on fault", howl_duck: "Feedback protection" };
const KINDS = { linear: "Level and spectrum", dynamics: "Dynamics", nonlinear: "Saturation and networks", reverb: "Reverb", modulation: "Modulation", delay: "Delay" };

// The effects that can be added, by kind.
function menu() {
  const before = $("effects").value, kinds = new Map();
  for (const card of Object.values(state.cards)) {
    if (!card.can_be_added) continue;
    const label = KINDS[card.category] ?? card.category;
    if (!kinds.has(label)) kinds.set(label, []);
    kinds.get(label).push(element("option", { value: card.id }, card.name));
  }
  kinds.set("Ready-made", Object.entries(state.ready).map(([value, name]) => element("option", { value }, name)));
  const known = [...Object.values(KINDS), "Ready-made"], sorted = [...kinds].sort(([a], [b]) => known.indexOf(a) - known.indexOf(b));
  $("effects").replaceChildren(...sorted.map(([label, list]) => element("optgroup", { label }, ...list)));
  if (state.cards[before] || state.ready[before]) $("effects").value = before;
}

// Where a recording plays: the rack, the dry sound, or what it should sound like.
function heard() {
  $("listen").hidden = state.listens.length === 0;
  $("listen").replaceChildren(...state.listens.map((to) => {
    const button = element("button", { type: "button", onclick: () => send({ do: "listen", to }) }, to[0].toUpperCase() + to.slice(1));
    button.dataset.focus = `listen ${to}`;
    button.setAttribute("aria-pressed", to === state.listen);
    return button;
  }));
}

// On a phone one effect is seen at a time.
let chosen = "";
function jump() {
  if (!effects.has(chosen)) chosen = order[0] ?? "";
  const focus = document.activeElement?.dataset?.focus;
  $("jump").replaceChildren(...order.map((address) => {
    const line = state.lines.length > 1 ? `${address.slice(0, address.lastIndexOf("/"))}: ` : "";
    const button = element("button", { type: "button", onclick: () => { chosen = address; jump(); } }, line + (effects.get(address)?.title ?? address));
    button.dataset.focus = `jump ${address}`;
    button.setAttribute("aria-pressed", address === chosen);
    return button;
  }));
  for (const [address, e] of effects) e.node.classList.toggle("chosen", address === chosen);
  if (focus?.startsWith("jump ")) document.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
}

function meter(label, Kind = Meter) {
  const node = element("div", { className: Kind === Reduction ? "meter reduction" : "meter", role: "meter", }, element("i"), element("u"));
  node.setAttribute("aria-label", label);
  node.setAttribute("aria-valuemin", -60);
  node.setAttribute("aria-valuemax", 0);
  node.setAttribute("aria-valuenow", -60);
  const light = element("button", { type: "button", className: "light", hidden: true, title: "Full scale was reached; press to clear" }, "CLIP");
  light.setAttribute("aria-label", `Clear the clip light of ${label}`);
  node.nextLight = light;
  const shown = new Kind(node, element("output", {}, "–"));
  return Object.assign(shown, { side: element("span", { className: "side" }, shown.text, light) });
}

function one(p, address) {
  const widget = control(
    p, address, state.values[address],
    (to) => { state.values[address] = to; moved(address); send({ do: "set", address, to }); },
    () => send({ do: "learn", address }),
  );
  shown.set(address, widget);
  return widget.node;
}

function line(l) {
  const level = one(state.line_parameters[0], l.level), mute = one(state.line_parameters[1], l.mute);
  const cards = element("div", { className: "cards" }, ...l.tree.map((item, i) => tree(item, l, i, l.tree.length)));
  return element("section", { className: "rack", "aria-label": `Line ${l.name}` },
    element("div", { className: "bar" }, element("h2", {}, l.rack), level, mute), cards);
}

function tree(item, l, index, count) {
  if (item.effect) return effect(item, l, index, count);
  const kind = item.chain ? "chain" : "parallel";
  const inside = item[kind].map((child) => tree(child, l, -1, 0));
  return element("div", { className: `branch ${kind}` }, element("p", {}, item.words || (kind === "parallel" ? "In parallel, added:" : "One after the other:")), ...inside);
}

function effect(item, l, index, count) {
  const card = state.cards[item.card], address = item.effect;
  const bypass = element("button", { type: "button", onclick: () => change(`${address}.bypass`, !state.values[`${address}.bypass`]) }, "Bypass");
  const title = named(card, address);
  const top = element("div", { className: "bar" }, element("h3", { title: address }, title), bypass,
    learning(`${address}, on or off`, `${address}.bypass`, () => send({ do: "learn", address: `${address}.bypass` })));
  if (index >= 0) {
    const step = (by, sign, label) => {
      const b = element("button", { type: "button", disabled: index + by < 0 || index + by >= count, onclick: () => send({ do: "move", address, index: index + by }) }, sign);
      b.setAttribute("aria-label", `${label} ${address}`);
      return b;
    };
    const remove = element("button", { type: "button", onclick: () => send({ do: "remove", address }) }, "✕");
    remove.setAttribute("aria-label", `Remove ${address}`);
    top.append(step(-1, "◀", "Earlier:"), step(1, "▶", "Later:"), remove);
  }
  if (Object.keys(card.presets).length) {
    const list = element("select", {}, element("option", { value: "" }, "Presets"), ...Object.entries(card.presets).map(([name, text]) => element("option", { value: name, title: text }, name)));
    list.setAttribute("aria-label", `Preset for ${address}`);
    list.dataset.focus = `presets ${address}`;
    list.onchange = () => { if (list.value) send({ do: "preset", address, name: list.value }); };
    top.append(list);
  }
  const canvas = element("canvas", { role: "img", "aria-label": `Curve of ${address}` });
  const into = meter(`${address}, level in`), out = meter(`${address}, level out`), less = meter(`${address}, gain reduction`, Reduction);
  const meters = element("div", { className: "meters" },
    element("b", {}, "in"), into.node, into.side, element("b", {}, "out"), out.node, out.side, element("b", { title: "gain reduction" }, "GR"), less.node, less.side);
  const daily = (p) => card.daily.includes(p.id) || card.parameters.length <= card.daily.length;
  const controls = card.parameters.filter(daily).map((p) => one(p, `${address}.${p.id}`));
  const folded = card.parameters.filter((p) => !daily(p)).map((p) => one(p, `${address}.${p.id}`));
  const unused = [];
  for (const group of card.groups) {
    for (let n = 1; n <= group.count; ++n) {
      const inside = group.parameters.map((p) => one(p, `${address}.${group.id}${n}.${p.id}`));
      const at = `${address}.${group.id}${n}`, off = state.values[`${at}.type`] === "off";
      const details = element("details", {}, element("summary", {}, ""), ...inside);
      details.dataset.group = at;
      (off ? unused : controls).push(details);
    }
  }
  const fold = (label, key, list) => {
    const details = element("details", { className: `more ${key}`, hidden: !list.length }, element("summary", {}, label), ...list);
    details.dataset.group = `${address}.${key}`;
    controls.push(details);
  };
  fold("", "unused", unused);
  fold("More", "more", folded);
  const purpose = element("p", { className: "purpose", title: card.rationale }, card.purpose), plot = new Plot(canvas);
  const bands = card.groups.find((g) => ["type", "frequency_hz", "gain_db", "q"].every((id) => g.parameters.some((p) => p.id === id)));
  const help = element("p", { className: "help", "aria-hidden": "true" });
  const picture = element("div", { className: "picture" }, canvas), grips = bands ? handles(picture, plot, address, bands, state, change) : null;
  const node = element("article", { className: "effect" }, top, purpose, picture, meters, ...controls, help);
  // The purpose of a control, where there is no pointer to rest on it.
  node.addEventListener("focusin", (e) => { help.textContent = e.target.closest(".control, .switch")?.title ?? ""; });
  const follow = (which = "") => {
    grips?.place();
    for (const group of card.groups) for (let n = 1; n <= group.count; ++n) if (!which || which.startsWith(`${address}.${group.id}${n}.`)) band(node, group, `${address}.${group.id}${n}`, n);
  };
  node.setAttribute("aria-label", `${card.name} ${address}`);
  effects.set(address, { node, bypass, into, out, less, plot, title, moved: follow, card: item.card, line: state.lines.indexOf(l) });
  follow();
  bypassed(address, state.values[`${address}.bypass`]);
  return node;
}

// The card's name, with a number where there are several.
function named(card, address) {
  const number = address.split("/").pop().match(/_?(\d+)$/)?.[1];
  return number ? `${card.name} ${number}` : card.name;
}

// The summary of a band; and only what acts on its type is shown.
function band(node, group, at, n) {
  const details = node.querySelector(`details[data-group="${CSS.escape(at)}"]`), of = (id) => state.values[`${at}.${id}`], type = of("type");
  if (!details) return;
  const hertz = of("frequency_hz"), gain = of("gain_db");
  const where = hertz === undefined ? "" : `, ${hertz >= 1000 ? `${(hertz / 1000).toFixed(2)} kHz` : `${hertz.toFixed(0)} Hz`}`;
  const level = gain === undefined || FLAT.includes(type) ? "" : `, ${gain > 0 ? "+" : ""}${gain.toFixed(1).replace("-", "−")} dB`;
  details.firstChild.textContent = `${group.id[0].toUpperCase()}${group.id.slice(1)} ${n}${type ? `: ${type.replaceAll("_", " ")}${type === "off" ? "" : where + level}` : ""}`;
  if (!type) return;
  const fold = node.querySelector("details.unused");
  if (fold && (type === "off") !== (details.parentNode === fold)) {  // a band that comes or goes
    const others = [...(type === "off" ? fold : node).querySelectorAll(":scope > details")].filter((d) => d.dataset.group?.startsWith(at.replace(/\d+$/, "")));
    const next = others.find((d) => Number(d.dataset.group.match(/\d+$/)[0]) > n);
    next ? next.before(details) : type === "off" ? fold.append(details) : fold.before(details);
  }
  if (fold) {
    const count = fold.querySelectorAll(":scope > details").length;
    fold.hidden = count === 0;
    fold.firstChild.textContent = `${count} band${count === 1 ? "" : "s"} that ${count === 1 ? "is" : "are"} off`;
  }
  const acts = { gain_db: !FLAT.includes(type), slope_db_per_octave: type.endsWith("cut"), q: !type.endsWith("cut") };
  for (const [id, on] of Object.entries(acts)) {
    const control = details.querySelector(`[data-address="${CSS.escape(`${at}.${id}`)}"]`);
    if (control) control.hidden = !on;
  }
}

function curve(message) {
  curves.set(message.effect, message);
  effects.get(message.effect)?.plot.set(message);
}

// --- levels and curves ------------------------------------------------------------------------------------------------

function levels(frame) {
  latest = frame;
}

const db = (linear) => (linear > 0 ? 20 * Math.log10(linear) : -120);

function draw(now) {
  requestAnimationFrame(draw);
  if (!latest || !state) return;
  const frame = latest;
  latest = null;
  const speak = now - spoken > 500; // numbers and what a screen reader reads change slowly enough to be read
  order.forEach((address, i) => {
    const e = effects.get(address), row = frame.rows[i];
    if (!e || !row) return;
    e.into.show(row.peakIn, now);
    e.out.show(row.peakOut, now);
    e.less.show(row.reduction, now);
    e.plot.draw(e.card === "parametric_eq" ? frame.spectra[e.line] : null, [row.peakIn, row.peakOut]);
    if (!speak) return;
    for (const m of [e.into, e.out, e.less]) m.speak();
  });
  frame.peaks.forEach((peak, i) => {
    if (!outputs[i]) return;
    outputs[i].show(db(peak), now);
    if (speak) outputs[i].speak();
  });
  if (!speak) return;
  spoken = now;
  $("load").textContent = `${(100 * frame.load).toFixed(1)} %`;
  $("worst").textContent = `${(100 * frame.worst).toFixed(0)} %`;
  $("xruns").textContent = frame.xruns.toFixed(0);
  $("loudness").textContent = frame.loudness > -70 ? `${frame.loudness.toFixed(1).replace("-", "−")} LUFS` : "–";
  $("limiter").textContent = frame.limiter < 0.999 ? `−${(-db(frame.limiter)).toFixed(1)} dB` : "–";
  document.body.classList.toggle("lost", !frame.active);
}

// --- the desk ---------------------------------------------------------------------------------------------------------

async function ask(question) {
  $("ask-words").textContent = question;
  $("ask-name").value = "";
  $("ask").showModal();
  return new Promise((resolve) => {
    $("ask").onclose = () => resolve($("ask").returnValue === "ok" ? $("ask-name").value.trim() : "");
  });
}

$("side").onclick = () => send({ do: "switch" });
$("reset").onclick = () => send({ do: "reset" });
$("undo").onclick = () => send({ do: "undo" });
$("redo").onclick = () => send({ do: "redo" });
$("record").onclick = () => send({ do: "record", on: $("record").getAttribute("aria-pressed") !== "true" });
$("recall").onclick = () => send({ do: "recall", name: $("snapshots").value, seconds: 0.5 });
$("keep").onclick = async () => { const name = await ask("Name of the snapshot"); if (name) send({ do: "snapshot", name }); };
$("load-preset").onclick = () => send({ do: "load", name: $("presets").value });
$("save-preset").onclick = async () => {
  const name = await ask("Name of the preset");
  if (!name) return;
  const replace = state.presets.includes(name);
  if (!replace || confirm(`Replace the preset ${name}?`)) send({ do: "save", name, replace });
};
$("add").onclick = () => send({ do: "add", effect: $("effects").value });
addEventListener("keydown", (e) => {
  if (!(e.ctrlKey || e.metaKey) || e.key.toLowerCase() !== "z") return;
  e.preventDefault();
  send({ do: e.shiftKey ? "redo" : "undo" });
});

readColours();
requestAnimationFrame(draw);
