// The page: what twinrack tells is shown, what a person does is sent. Built anew when the structure changes; values, levels
// and curves change in place.

import { control, element, learning, words } from "./controls.js";
import { Plot, bar, readColours, reduction } from "./draw.js";
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
  if (address.endsWith(".bypass")) bypassed(address.replace(/\.bypass$/, ""), to);
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
  const focus = document.activeElement?.closest?.("[data-address]")?.dataset.address;
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
  options($("effects"), Object.keys(state.cards));
  $("safety").replaceChildren(...["limiter", "mute_on_fault", "howl_duck"].map((part) => {
    const button = element("button", { onclick: () => send({ do: "protect", part, on: !state.safety[part] }) }, words(part));
    button.setAttribute("aria-pressed", state.safety[part]);
    return button;
  }));
  outputs = Array.from({ length: state.outputs }, (_, i) => meter(`Output ${i + 1}`));
  $("outputs").replaceChildren(...outputs.map((o) => o.bar));
  $("lines").replaceChildren(...state.lines.map(line));
  controllers();
  for (const [address, message] of curves) effects.get(address)?.plot.set(message);
  for (const d of document.querySelectorAll("details")) if (open.has(d.dataset.group)) d.open = true;
  $("events").replaceChildren();
  state.events.forEach(listed);
  if (unanswered) news("");
  unanswered = false;
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

function meter(label, className = "meter") {
  const node = element("div", { className, role: "meter" }, element("i"));
  node.setAttribute("aria-label", label);
  node.setAttribute("aria-valuemin", -60);
  node.setAttribute("aria-valuemax", 0);
  node.setAttribute("aria-valuenow", -60);
  return { bar: node, text: element("output", {}, "–") };
}

function one(p, address) {
  const widget = control(
    p, address, state.values[address],
    (to) => { state.values[address] = to; send({ do: "set", address, to }); },
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
  return element("div", { className: "branch" }, element("p", {}, kind === "parallel" ? "in parallel, added:" : "one after the other:"), ...inside);
}

function effect(item, l, index, count) {
  const card = state.cards[item.card], address = item.effect;
  const bypass = element("button", { type: "button", onclick: () => change(`${address}.bypass`, !state.values[`${address}.bypass`]) }, "Bypass");
  const top = element("div", { className: "bar" }, element("h3", {}, address.split("/").pop().replaceAll("_", " ")), bypass,
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
  const canvas = element("canvas", { role: "img", "aria-label": `Curve of ${address}` });
  const into = meter(`${address}, level in`), out = meter(`${address}, level out`), less = meter(`${address}, gain reduction`, "meter reduction");
  const meters = element("div", { className: "meters" },
    element("b", {}, "in"), into.bar, into.text, element("b", {}, "out"), out.bar, out.text, element("b", {}, "less"), less.bar, less.text);
  const controls = card.parameters.map((p) => one(p, `${address}.${p.id}`));
  for (const group of card.groups) {
    for (let n = 1; n <= group.count; ++n) {
      const inside = group.parameters.map((p) => one(p, `${address}.${group.id}${n}.${p.id}`));
      const used = group.parameters.some((p) => state.values[`${address}.${group.id}${n}.${p.id}`] !== p.default);
      const details = element("details", { open: used && n <= 4 }, element("summary", {}, `${group.id} ${n}`), ...inside);
      details.dataset.group = `${address}.${group.id}${n}`;
      controls.push(details);
    }
  }
  const node = element("article", { className: "effect" }, top, element("p", { className: "purpose", title: card.rationale }, card.purpose), canvas, meters, ...controls);
  node.setAttribute("aria-label", `${card.name} ${address}`);
  effects.set(address, { node, bypass, into, out, less, plot: new Plot(canvas), card: item.card, line: state.lines.indexOf(l) });
  bypassed(address, state.values[`${address}.bypass`]);
  return node;
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
const shownDb = (x) => (x > -100 ? x.toFixed(1) : "−∞");

function draw(now) {
  requestAnimationFrame(draw);
  if (!latest || !state) return;
  const frame = latest;
  latest = null;
  const speak = now - spoken > 500; // numbers and what a screen reader reads change slowly enough to be read
  order.forEach((address, i) => {
    const e = effects.get(address), row = frame.rows[i];
    if (!e || !row) return;
    bar(e.into.bar, row.peakIn);
    bar(e.out.bar, row.peakOut);
    reduction(e.less.bar, row.reduction);
    e.plot.draw(e.card === "parametric_eq" ? frame.spectra[e.line] : null, [row.peakIn, row.peakOut]);
    if (!speak) return;
    for (const [m, level] of [[e.into, row.peakIn], [e.out, row.peakOut]]) {
      m.text.textContent = shownDb(level);
      m.bar.setAttribute("aria-valuenow", Math.max(level, -60).toFixed(0));
    }
    e.less.text.textContent = row.reduction.toFixed(1);
    e.less.bar.setAttribute("aria-valuenow", (-row.reduction).toFixed(0));
  });
  frame.peaks.forEach((peak, i) => {
    if (!outputs[i]) return;
    bar(outputs[i].bar, db(peak));
    if (speak) outputs[i].bar.setAttribute("aria-valuenow", Math.max(db(peak), -60).toFixed(0));
  });
  if (!speak) return;
  spoken = now;
  $("load").textContent = `${(100 * frame.load).toFixed(1)} %`;
  $("worst").textContent = `${(100 * frame.worst).toFixed(0)} %`;
  $("xruns").textContent = frame.xruns.toFixed(0);
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
