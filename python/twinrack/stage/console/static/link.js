// The connection to twinrack: messages both ways, levels in, and a new attempt when it breaks.

const HEAD = 11, PER_EFFECT = 5, BANDS = 120;

export class Link {
  constructor(handlers) {
    this.handlers = handlers;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (event) => {
      if (typeof event.data === "string") {
        const message = JSON.parse(event.data);
        this.handlers[message.type]?.(message);
      } else {
        this.handlers.levels(levels(event.data));
      }
    };
    this.socket.onclose = (event) => {
      this.handlers.closed(event.code);
      if (![4403, 4429].includes(event.code)) setTimeout(() => this.open(), 1000);
    };
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

// In the order of state.Frames.
function levels(buffer) {
  const x = new Float32Array(buffer);
  const [active, load, worst, xruns, late, limiter, duck, effects, outputs, lines, loudness] = x;
  const rows = [];
  for (let i = 0; i < effects; ++i) {
    const [peakIn, peakOut, rmsIn, rmsOut, reduction] = x.subarray(HEAD + i * PER_EFFECT);
    rows.push({ peakIn, peakOut, rmsIn, rmsOut, reduction });
  }
  const at = HEAD + effects * PER_EFFECT;
  const spectra = at + outputs;
  return {
    active: active > 0.5, load, worst, xruns, late, limiter, duck, loudness, rows,
    peaks: x.subarray(at, at + outputs),
    spectra: Array.from({ length: lines }, (_, i) => {
      const from = spectra + 2 * BANDS * i;
      return { before: x.subarray(from, from + BANDS), after: x.subarray(from + BANDS, from + 2 * BANDS) };
    }),
  };
}
