// Controls from a card: a slider with a number for what is continuous, a list for a choice, a box for a switch. Every one is
// a native element with a label, so that keyboard and screen reader find it.

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria") || key === "role" || key === "for") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

export const words = (id) => id.replace(/_(db|hz|ms|s|percent|db_per_octave|db_per_s)$/, "").replaceAll("_", " ");

const STEPS = 1000;

export function position(p, value) {
  return p.scale === "log" ? Math.log(value / p.min) / Math.log(p.max / p.min) : (value - p.min) / (p.max - p.min);
}

export function valueAt(p, place) {
  const value = p.scale === "log" ? p.min * (p.max / p.min) ** place : p.min + (p.max - p.min) * place;
  return Math.min(Math.max(value, p.min), p.max);
}

export function text(p, value) {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return `${Number(value).toFixed(digits)} ${p.unit === "1" ? "" : p.unit}`.trim();
}

let count = 0;

// The button that a person presses before moving a control of the MIDI controller.
export function learning(name, address, learn) {
  const button = element("button", { title: `Learn a MIDI control for ${address}`, type: "button", onclick: learn, className: "midi" }, "MIDI");
  button.setAttribute("aria-label", `Learn a MIDI control for ${name}`);
  button.dataset.learns = address;
  return button;
}

// `change(value)` is called when a person moves it; `show(value)` of what is returned when something else did.
export function control(p, address, value, change, learn) {
  const id = `control-${++count}`;
  const name = words(p.id);
  if (p.kind === "switch") {
    const box = element("input", { type: "checkbox", id, checked: value });
    box.onchange = () => change(box.checked);
    const node = element("div", { className: "switch", title: `${p.doc} ${p.perceptual}` }, box, element("label", { for: id }, name), learning(name, address, learn));
    return { node, show: (v) => { box.checked = v; } };
  }
  const label = element("label", { for: id }, p.unit && p.unit !== "1" ? `${name} in ${p.unit}` : name);
  const button = learning(name, address, learn);
  const node = element("div", { className: "control", title: `${p.doc} ${p.perceptual}` }, label);
  node.dataset.address = address;
  if (p.kind === "choice") {
    const list = element("select", { id }, ...p.options.map((o) => element("option", { value: o }, o.replaceAll("_", " "))));
    list.value = value;
    list.onchange = () => change(list.value);
    node.append(list, button);
    return { node, show: (v) => { list.value = v; } };
  }
  const slider = element("input", { type: "range", id, min: 0, max: STEPS, step: 1 });
  const number = element("input", { type: "number", step: "any", min: p.min, max: p.max });
  number.setAttribute("aria-label", `${name}, as a number`);
  const show = (v, whole = true) => {
    if (whole) slider.value = Math.round(position(p, v) * STEPS);
    const size = Math.abs(v);
    number.value = Number(Number(v).toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3));
    slider.setAttribute("aria-valuetext", text(p, v));
    node.classList.toggle("beyond", v < p.expected[0] || v > p.expected[1]);
  };
  slider.oninput = () => {
    const v = valueAt(p, slider.value / STEPS);
    show(v, false);
    change(v);
  };
  slider.ondblclick = () => { show(p.default); change(p.default); };
  number.onchange = () => {
    const v = Math.min(Math.max(Number(number.value), p.min), p.max);
    show(v);
    change(v);
  };
  show(value);
  node.append(slider, number, button);
  return { node, show };
}
