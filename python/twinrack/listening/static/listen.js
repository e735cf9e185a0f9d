// A listening test: all sounds of an item play in step and are switched without a gap, in loops; order and names are drawn anew
// for every listener, and nothing is told before the end. Answers are saved as a file, or sent to the server that gave the page.
const Listen = (() => {
  const test = JSON.parse(document.getElementById("test").textContent), main = document.getElementById("listen");
  const server = document.documentElement.dataset.server || "";  // where answers go; nowhere from a file
  const LETTERS = "ABCDEFGHIJKLMNO", FADE_S = 0.01, RETRY_MS = [500, 1000, 2000, 5000, 10000];
  const MUSHRA = ["Excellent", "Good", "Fair", "Poor", "Bad"];
  const GRADES = ["Imperceptible", "Perceptible, but not annoying", "Slightly annoying", "Annoying", "Very annoying"];
  const element = (kind, attributes = {}, ...children) => {
    const node = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) name in node ? node[name] = value : node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const random = below => crypto.getRandomValues(new Uint32Array(1))[0] % below;
  const shuffled = list => {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) { const j = random(i + 1); [out[i], out[j]] = [out[j], out[i]]; }
    return out;
  };
  const names = item => Object.keys(item.sounds);
  const objects = item => names(item).filter(name => name !== test.reference);

  // --- what was answered; it survives a closed page where the browser stores anything ---
  const place = `twinrack-listen-${test.test}`;
  const today = () => new Date().toISOString().slice(0, 10);
  const fresh = () => ({
    id: Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, "0")).join(""),
    listener: "", began: today(), revision: 0, saved: -1, practised: !["mushra", "bs1116"].includes(test.kind), complete: false,
    order: shuffled(test.items.map((_, i) => i)), items: test.items.map(item => ({ name: item.name, conditions: names(item), trials: [], scores: {} })),
  });
  const stored = () => { try { return JSON.parse(localStorage.getItem(place)); } catch { return null; } };
  let state = fresh();
  const result = () => ({
    twinrack_listening: 1, kind: test.kind, test: test.test, registered: test.registered, title: test.title, planned: test.trials, alpha: test.alpha,
    listener: state.listener, began: state.began, date: state.answered ?? state.began, revision: state.revision, complete: state.complete,
    items: state.complete ? state.items : state.items.filter(item => item.trials.length || Object.keys(item.scores).length),
  });
  let sending = false, failures = 0;
  const keep = () => { try { localStorage.setItem(place, JSON.stringify(state)); } catch { /* a browser that stores nothing */ } };
  function save() {
    state.revision += 1;
    state.answered = today();
    keep();
    if (server) send();
  }
  async function send() {
    if (sending) return;
    sending = true;
    while (state.saved < state.revision) {
      const revision = state.revision;
      try {
        const answer = await fetch(`${server}/answers/${state.id}`, { method: "PUT", body: JSON.stringify(result()) });
        if (answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429) {
          say(await answer.text());
          break;
        }
        if (!answer.ok) throw new Error(String(answer.status));
        state.saved = revision;
        keep();
        failures = 0;
        say("");
      } catch {
        say("Not saved yet; trying again. Leave this page open.");
        await new Promise(later => setTimeout(later, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]));
      }
    }
    sending = false;
    document.dispatchEvent(new Event("saved"));
  }
  const notice = element("p", { className: "warn", role: "status", id: "notice" });
  const say = words => { notice.textContent = words; };

  // --- the sounds of an item, in step ---
  let context = null, level = null, sources = [], gains = {}, whole = {}, playing = "", alias = {}, tried = new Set(), loop = [0, 1];
  async function load(item) {
    stop();
    whole = {};
    for (const [name, address] of Object.entries(item.sounds)) {
      const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), c => c.charCodeAt(0));
      whole[name] = await context.decodeAudioData(bytes.buffer);
    }
    loop = [0, 1];
    start();
  }
  function stop() {
    for (const source of sources) source.stop();
    sources = [];
    gains = {};
  }
  // Plays the loop of every sound from its beginning; cut out with short fades, so that its ends do not click.
  function start() {
    stop();
    const when = context.currentTime + 0.05;
    for (const [name, full] of Object.entries(whole)) {
      const from = Math.round(loop[0] * full.length), frames = Math.max(Math.round(loop[1] * full.length) - from, 1);
      let buffer = full;
      if (frames < full.length) {
        buffer = new AudioBuffer({ numberOfChannels: full.numberOfChannels, length: frames, sampleRate: full.sampleRate });
        const ramp = Math.min(Math.round(FADE_S * full.sampleRate), frames >> 1);
        for (let c = 0; c < full.numberOfChannels; c++) {
          const x = full.getChannelData(c).slice(from, from + frames);
          for (let i = 0; i < ramp; i++) { x[i] *= i / ramp; x[frames - 1 - i] *= i / ramp; }
          buffer.copyToChannel(x, c);
        }
      }
      gains[name] = new GainNode(context, { gain: 0 });
      gains[name].connect(level);
      const source = new AudioBufferSourceNode(context, { buffer, loop: true });
      source.connect(gains[name]);
      source.start(when);
      sources.push(source);
    }
    hear(playing);
  }
  // `label`: of a button, or "" for silence. Every switch goes through silence, also one to the same sound, so that the switch
  // itself tells nothing.
  function hear(label) {
    playing = label;
    const sounding = alias[label] ?? "", now = context?.currentTime ?? 0;
    for (const [own, gain] of Object.entries(gains)) {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setTargetAtTime(0, now, FADE_S / 5);
      if (own === sounding) gain.gain.setTargetAtTime(1, now + FADE_S, FADE_S / 5);
    }
    for (const button of main.querySelectorAll("button.sound")) button.setAttribute("aria-pressed", button.dataset.sound === label);
    if (label) tried.add(label);
    main.dispatchEvent(new Event("tried"));
  }
  const allTried = () => Object.keys(alias).every(label => tried.has(label));
  const sound = label => {
    const button = element("button", { type: "button", className: "sound", onclick: () => hear(playing === label ? "" : label), "aria-label": `Play ${label}` }, label);
    button.dataset.sound = label;
    button.setAttribute("aria-pressed", false);
    return button;
  };
  const loops = () => {
    const ends = [0, 1].map(k => {
      const input = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: k, "aria-label": k ? "End of the loop" : "Start of the loop" });
      input.addEventListener("change", () => {
        const [a, b] = ends.map(e => Number(e.value));
        loop = b - a >= 0.02 ? [a, b] : [Math.min(a, 0.98), Math.min(a, 0.98) + 0.02];
        ends.forEach((e, i) => { e.value = loop[i]; });
        start();
      });
      return input;
    });
    return element("p", { className: "soft loop" }, "Loop from ", ends[0], " to ", ends[1]);
  };

  // --- what is asked ---
  const section = (...children) => main.replaceChildren(element("section", {}, ...children), notice);
  function welcome() {
    const before = stored();
    if (before?.items?.length === test.items.length) state = before;
    if (server && state.revision > 0) send();  // what an earlier visit could not
    const words = {
      abx: `You will hear pairs of sounds, A and B, and X, which is one of them. Say which one X is; where you cannot tell, guess. ${test.trials} times for each of ${test.items.length} pair${test.items.length > 1 ? "s" : ""}.`,
      ab: `You will hear pairs of sounds. Say which one you prefer. ${test.trials} time${test.trials > 1 ? "s" : ""} for each of ${test.items.length} pair${test.items.length > 1 ? "s" : ""}.`,
      mushra: `You will hear ${test.items.length} recording${test.items.length > 1 ? "s" : ""}, each in ${names(test.items[0]).length} versions, and rate how near each is to the reference, from 0 to 100. One of them is the reference itself: give it 100. First you hear them all without rating.`,
      bs1116: `You will hear ${test.items.length} recording${test.items.length > 1 ? "s" : ""}: a reference A, and B and C, one of which is the same as A. Grade how B and C differ from A, from 5.0 (imperceptible) to 1.0 (very annoying); one of them gets 5.0. First you hear them all without grading.`,
    }[test.kind];
    const name = element("input", { type: "text", id: "listener", maxLength: 200, autocomplete: "name", value: state.listener });
    const volume = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, id: "volume", "aria-label": "Level" });
    volume.addEventListener("input", () => { if (level) level.gain.value = volume.value ** 2; });
    const problem = element("p", { className: "warn", role: "alert" });
    const begin = element("button", { type: "button", id: "begin", disabled: true, onclick: () => {
      problem.textContent = name.value.trim() ? "" : "Say who you are, so that nobody is counted twice.";
      if (problem.textContent) return;
      state.listener = name.value.trim();
      save();
      next();
    } }, state.revision ? "Go on" : "Begin");
    const anew = element("button", { type: "button", id: "anew", onclick: () => {
      if (state.saved < state.revision && !confirm("The answers that are here were not saved yet. Begin anew nevertheless?")) return;
      try { localStorage.setItem(`${place}-${state.id}`, JSON.stringify(state)); localStorage.removeItem(place); } catch { /* a browser that stores nothing */ }
      state = fresh();
      welcome();
    } }, "Begin as somebody else");
    alias = { A: names(test.items[0])[0] };
    section(
      element("p", {}, words, test.matched ? " All are equally loud; switch as often as you like." : " Switch as often as you like."),
      test.plan ? element("p", { className: "soft", id: "plan" }, test.plan) : "",
      element("p", {}, "Use headphones in a quiet place. Play, and set a comfortable level; it stays as it is until the end."),
      element("p", {}, element("button", { type: "button", id: "try", onclick: async () => {
        context = context ?? new AudioContext({ sampleRate: test.rate });
        await context.resume();
        if (!level) { level = new GainNode(context, { gain: volume.value ** 2 }); level.connect(context.destination); await load(test.items[0]); }
        hear(playing ? "" : "A");
        begin.disabled = false;
      } }, "Play / pause"), volume),
      element("p", {}, element("label", {}, "Your name, or the number that you were given ", name), " ", begin, state.revision ? anew : ""), problem);
  }
  const finished = i => test.kind === "abx" || test.kind === "ab" ? state.items[i].trials.length >= test.trials : Object.keys(state.items[i].scores).length > 0;
  async function next() {
    tried = new Set();
    hear("");
    if (!state.practised) return practise(0);
    const at = state.order.findIndex(i => !finished(i));
    if (at < 0) return finish();
    await load(test.items[state.order[at]]);
    ({ abx: askAbx, ab: askAb, mushra: askMushra, bs1116: askGrades })[test.kind](test.items[state.order[at]], state.items[state.order[at]], at);
  }
  const total = () => test.items.length * test.trials;
  const progress = (done, words) => [element("p", { className: "soft" }, words), element("progress", { max: total(), value: done, "aria-label": "Progress" }), element("p", {}, test.question)];
  const counted = () => state.items.reduce((sum, item) => sum + (item.trials.length || (Object.keys(item.scores).length ? 1 : 0)), 0);

  async function practise(at) {
    await load(test.items[at]);
    tried = new Set();
    alias = { Reference: test.reference };
    const labels = shuffled(objects(test.items[at]));
    labels.forEach((name, i) => { alias[LETTERS[i]] = name; });
    const go = element("button", { type: "button", id: "practised", disabled: true, onclick: () => {
      if (at + 1 < test.items.length) return practise(at + 1);
      state.practised = true;
      save();
      next();
    } }, "Go on");
    const enable = () => { go.disabled = !allTried(); };
    main.addEventListener("tried", enable);
    section(element("p", { className: "soft" }, `Practice ${at + 1} of ${test.items.length}: hear every version; nothing is rated yet.`),
      element("p", {}, sound("Reference"), ...labels.map((_, i) => sound(LETTERS[i]))), loops(), go);
    hear("");
  }

  function choose(item, own, at, labels, answers, keys) {
    const began = performance.now(), buttons = answers.map(([value, label], i) => {
      const button = element("button", { type: "button", className: "vote", disabled: true, onclick: () => {
        main.replaceChildren(notice);  // one answer a trial
        own.trials.push({ x: alias.first, answer: value, seconds: Math.round((performance.now() - began) / 100) / 10 });
        save();
        next();
      } }, label);
      button.dataset.key = String(i + 1);
      return button;
    });
    main.addEventListener("tried", () => { for (const button of buttons) button.disabled = !labels.every(label => tried.has(label)); });
    section(...progress(counted(), `Pair ${at + 1} of ${test.items.length}, trial ${own.trials.length + 1} of ${test.trials}`),
      element("p", {}, ...labels.map(sound)), loops(), element("p", {}, "Hear all, then: ", ...buttons),
      element("p", { className: "soft" }, keys));
    hear("");
  }
  function askAbx(item, own, at) {
    const [a] = [test.reference], [b] = objects(item), x = random(2) ? "b" : "a";
    alias = { A: a, X: x === "a" ? a : b, B: b };
    Object.defineProperty(alias, "first", { value: x });
    choose(item, own, at, ["A", "X", "B"], [["a", "X is A"], ["b", "X is B"]], "Keys: a, x, b play; 1 is “X is A”, 2 is “X is B”.");
  }
  function askAb(item, own, at) {
    const [first, second] = shuffled(names(item));
    alias = { A: first, B: second };
    Object.defineProperty(alias, "first", { value: first });
    choose(item, own, at, ["A", "B"], [[first, "I prefer A"], [second, "I prefer B"], ["", "No preference"]], "Keys: a, b play; 1, 2, 3 answer.");
  }

  // Sliders, one for each label; `ready` says what is still missing.
  function rate(own, at, reference, labels, slider, ready) {
    const inputs = {}, touched = new Set();
    const problem = element("p", { className: "warn", role: "alert" });
    const done = element("button", { type: "button", id: "done", onclick: () => {
      problem.textContent = labels.every(label => tried.has(label)) ? "" : "Hear every version first.";
      if (!problem.textContent && labels.some(label => !touched.has(label))) problem.textContent = "Rate every version.";
      const values = Object.fromEntries(labels.map(label => [label, Number(inputs[label].value)]));
      problem.textContent = problem.textContent || ready(values);
      if (problem.textContent) return;
      for (const label of labels) own.scores[alias[label]] = values[label];
      save();
      next();
    } }, "Next");
    const columns = labels.map(label => {
      const shown = element("output", {}, "–");
      const input = element("input", { type: "range", className: "score", "aria-label": `Score of ${label}`, ...slider });
      for (const kind of ["input", "change", "pointerup", "keyup"]) input.addEventListener(kind, e => { if (e.key !== "Tab") { touched.add(label); shown.textContent = input.value; } });
      inputs[label] = input;
      return element("div", { className: "column" }, input, shown, sound(label));
    });
    const scale = test.kind === "mushra" ? MUSHRA : GRADES;
    section(...progress(counted(), `Recording ${at + 1} of ${test.items.length}`),
      element("p", {}, sound(reference)),
      element("div", { className: "board" }, element("ol", { className: test.kind === "mushra" ? "scale" : "scale points", "aria-label": "Scale" }, ...scale.map(word => element("li", {}, word))), ...columns),
      loops(), problem, done);
    hear("");
  }
  function askMushra(item, own, at) {
    const labels = shuffled(names(item));
    alias = { Reference: test.reference };
    labels.forEach((name, i) => { alias[LETTERS[i]] = name; });
    rate(own, at, "Reference", labels.map((_, i) => LETTERS[i]), { min: 0, max: 100, step: 1, value: 0 },
      values => Object.values(values).includes(100) ? "" : "One of them is the reference: give it 100.");
  }
  function askGrades(item, own, at) {
    const [b, c] = shuffled(names(item));
    alias = { A: test.reference, B: b, C: c };
    rate(own, at, "A", ["B", "C"], { min: 1, max: 5, step: 0.1, value: 5 },
      values => Object.values(values).includes(5) ? "" : "One of them is the same as A: give it 5.0.");
  }

  async function finish() {
    stop();
    if (!state.complete) { state.complete = true; save(); }
    const file = element("button", { type: "button", id: "save", onclick: () => {
      const link = element("a", { href: URL.createObjectURL(new Blob([JSON.stringify(result(), null, 2)], { type: "application/json" })), download: "answers.json" });
      document.body.append(link);
      link.click();
      link.remove();
      state.saved = state.revision;
      keep();
    } }, "Save my answers");
    const sent = element("p", { id: "sent" }, "Thank you, that was all.");
    const thank = () => { if (server && state.saved >= state.revision) sent.textContent = "Thank you, that was all. Your answers have arrived; you may close this page."; };
    document.addEventListener("saved", thank);
    section(sent, server ? "" : element("p", {}, "Save the file, and send it to whoever asked you."), file);
    thank();
    if (server && state.saved < state.revision) send();
  }
  document.addEventListener("keydown", event => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.type === "text") return;
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
    const own = [...main.querySelectorAll("button.sound")].find(button => button.dataset.sound.toLowerCase() === event.key.toLowerCase() || (event.key === "r" && button.dataset.sound === "Reference"));
    const vote = main.querySelector(`button.vote[data-key="${CSS.escape(event.key)}"]:not(:disabled)`);
    if (own) own.click();
    else if (vote) vote.click();
  });
  welcome();
  return { get sounding() { return alias[playing] ?? ""; }, get gains() { return gains; }, get alias() { return alias; }, get state() { return state; }, get saved() { return state.saved; } };
})();
