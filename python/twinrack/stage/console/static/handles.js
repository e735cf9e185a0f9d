// Bands of an equaliser in its curve: dragged, moved by arrow keys, their Q by the wheel or page keys; a double click adds one
// where there is none, and takes away the one that is clicked.
import { element } from "./controls.js";

export const FLAT = ["low_cut", "high_cut", "notch", "band_pass", "all_pass"];  // types without a gain
const OCTAVE_STEPS = 12, GAIN_STEP = 0.5, Q_STEP = 1.12;

// `change(address, value)` sets a value; of what is returned, `place()` puts every band where its values say.
export function handles(picture, plot, address, group, state, change) {
  const ids = Object.fromEntries(group.parameters.map((p) => [p.id, p])), grips = [];
  const at = (n, id) => `${address}.${group.id}${n}.${id}`, of = (n, id) => state.values[at(n, id)];
  const set = (n, id, value) => {
    const p = ids[id];
    if (p) change(at(n, id), p.kind === "continuous" ? Math.min(Math.max(value, p.min), p.max) : value);
  };
  const level = (n) => (FLAT.includes(of(n, "type")) ? 0 : of(n, "gain_db"));
  const turn = (n, by) => { if (!of(n, "type").endsWith("cut")) set(n, "q", of(n, "q") * Q_STEP ** by); };
  const lift = (n, by) => { if (!FLAT.includes(of(n, "type"))) set(n, "gain_db", of(n, "gain_db") + by); };
  const off = (n) => {
    set(n, "type", "off");
    (grips.find((g) => !g.hidden) ?? plot.canvas).focus();
  };
  for (let n = 1; n <= group.count; ++n) {
    const grip = element("button", { type: "button", className: "grip", hidden: true }, String(n));
    grip.addEventListener("pointerdown", (e) => {
      e.preventDefault();
      grip.focus();
      grip.setPointerCapture(e.pointerId);
      plot.held = true;
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) grip.addEventListener(end, () => { plot.held = false; });
    grip.addEventListener("pointermove", (e) => {
      if (!grip.hasPointerCapture(e.pointerId) || !plot.place) return;
      const box = plot.canvas.getBoundingClientRect();
      set(n, "frequency_hz", Math.exp(plot.place.fromX(e.clientX - box.left)));
      if (!FLAT.includes(of(n, "type"))) set(n, "gain_db", plot.place.fromY(e.clientY - box.top));
    });
    grip.addEventListener("wheel", (e) => { e.preventDefault(); turn(n, e.deltaY < 0 ? 1 : -1); }, { passive: false });
    grip.addEventListener("dblclick", (e) => { e.stopPropagation(); off(n); });
    grip.addEventListener("keydown", (e) => {
      const by = e.shiftKey ? 4 : 1;
      const move = {
        ArrowLeft: () => set(n, "frequency_hz", of(n, "frequency_hz") * 2 ** (-by / OCTAVE_STEPS)),
        ArrowRight: () => set(n, "frequency_hz", of(n, "frequency_hz") * 2 ** (by / OCTAVE_STEPS)),
        ArrowUp: () => lift(n, by * GAIN_STEP), ArrowDown: () => lift(n, -by * GAIN_STEP),
        PageUp: () => turn(n, 1), PageDown: () => turn(n, -1), Delete: () => off(n),
      }[e.key];
      if (!move) return;
      e.preventDefault();
      move();
    });
    grip.dataset.focus = at(n, "grip");
    grips.push(grip);
    picture.append(grip);
  }
  plot.canvas.addEventListener("dblclick", (e) => {
    const n = grips.findIndex((_, i) => of(i + 1, "type") === "off") + 1;
    if (n === 0 || !plot.place) return;
    const box = plot.canvas.getBoundingClientRect();
    set(n, "frequency_hz", Math.exp(plot.place.fromX(e.clientX - box.left)));
    set(n, "gain_db", plot.place.fromY(e.clientY - box.top));
    set(n, "type", "bell");
  });
  function place() {
    if (!plot.place) return;
    grips.forEach((grip, i) => {
      const n = i + 1, on = of(n, "type") !== "off", hertz = of(n, "frequency_hz");
      grip.hidden = !on;
      if (!on) return;
      const x = plot.place.toX(Math.log(hertz)), y = plot.place.toY(Math.min(Math.max(level(n), plot.span[0]), plot.span[1]));
      grip.style.left = `${x.toFixed(1)}px`;
      grip.style.top = `${y.toFixed(1)}px`;
      grip.setAttribute("aria-label", `Band ${n} of ${address}: ${hertz.toFixed(0)} Hz, ${level(n).toFixed(1)} dB, Q ${of(n, "q").toFixed(2)}; arrow keys move it, page keys its Q`);
    });
  }
  plot.placed = place;
  return { place };
}
