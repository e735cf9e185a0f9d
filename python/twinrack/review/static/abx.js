// An ABX test: A, B and X play in step and are switched without a gap; X is A or B by chance, drawn anew for every trial.
// Nothing is told before the end. The answers become a file that the listener sends back.
const Abx = (() => {
  const test = JSON.parse(document.getElementById("test").textContent), main = document.getElementById("abx");
  const FADE_S = 0.01;
  const element = (kind, attributes = {}, ...children) => {
    const node = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) name in node ? node[name] = value : node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const chance = () => (crypto.getRandomValues(new Uint8Array(1))[0] & 1) === 1 ? "a" : "b";
  const answers = test.items.map(item => ({ name: item.name, trials: [] }));
  let context = null, sources = [], gains = {}, playing = "", item = 0, x = "a", began = 0, level = null, tried = new Set();

  async function load(which) {
    for (const source of sources) source.stop();
    sources = [];
    gains = {};
    const buffers = {};
    for (const [name, address] of Object.entries(which.sounds)) {
      const bytes = Uint8Array.from(atob(address.slice(address.indexOf(",") + 1)), c => c.charCodeAt(0));
      buffers[name] = await context.decodeAudioData(bytes.buffer);
    }
    const when = context.currentTime + 0.05;
    for (const name of ["a", "b"]) {
      gains[name] = new GainNode(context, { gain: 0 });
      gains[name].connect(level);
      const source = new AudioBufferSourceNode(context, { buffer: buffers[name], loop: true });
      source.connect(gains[name]);
      source.start(when);
      sources.push(source);
    }
  }
  // `name`: "a", "b", "x", or "" for silence.
  function hear(name) {
    playing = name;
    const sounding = name === "x" ? x : name;
    for (const [own, gain] of Object.entries(gains)) gain.gain.setTargetAtTime(own === sounding ? 1 : 0, context.currentTime, FADE_S / 3);
    for (const button of main.querySelectorAll("button.sound")) button.setAttribute("aria-pressed", button.dataset.sound === name);
    if (name) tried.add(name);
    for (const vote of main.querySelectorAll("button.vote")) vote.disabled = !(tried.has("a") && tried.has("b") && tried.has("x"));
  }
  const sound = (name, label) => {
    const button = element("button", { type: "button", className: "sound", onclick: () => hear(playing === name ? "" : name), "aria-label": `Play ${label}` }, label);
    button.dataset.sound = name;
    button.setAttribute("aria-pressed", false);
    return button;
  };

  function welcome() {
    const volume = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, id: "volume", "aria-label": "Level" });
    volume.addEventListener("input", () => { if (level) level.gain.value = volume.value ** 2; });
    const begin = element("button", { type: "button", id: "begin", disabled: true, onclick: () => { volume.disabled = true; next(); } }, "Begin");
    main.replaceChildren(element("section", {},
      element("p", {}, `You will hear pairs of sounds, A and B, and X, which is one of them. Say which one X is; where you cannot tell, guess. ${test.trials} times for each of ${test.items.length} pair${test.items.length > 1 ? "s" : ""}. Both are equally loud, and you may switch as often as you like.`),
      element("p", { className: "soft", id: "plan" }, test.plan),
      element("p", {}, "Use headphones in a quiet place. Play, and set a comfortable level; it stays as it is until the end. "),
      element("button", { type: "button", id: "try", onclick: async () => {
        context = context ?? new AudioContext({ sampleRate: test.rate });
        await context.resume();
        if (!level) { level = new GainNode(context, { gain: volume.value ** 2 }); level.connect(context.destination); await load(test.items[0]); }
        hear(playing ? "" : "a");
        begin.disabled = false;
      } }, "Play / pause"), volume, begin));
  }
  async function next() {
    const trials = answers[item].trials;
    if (trials.length === test.trials) {
      item += 1;
      if (item === test.items.length) return finish();
      await load(test.items[item]);
      return next();
    }
    x = chance();
    tried = new Set();
    began = performance.now();
    const vote = (answer, label) => {
      const button = element("button", { type: "button", className: "vote", onclick: () => {
        main.replaceChildren();  // one answer a trial
        trials.push({ x, answer, seconds: ((performance.now() - began) / 1000).toFixed(1) });
        next();
      } }, label);
      button.dataset.answer = answer;
      return button;
    };
    const done = answers.reduce((sum, a) => sum + a.trials.length, 0);
    main.replaceChildren(element("section", {},
      element("p", { className: "soft" }, `Pair ${item + 1} of ${test.items.length}, trial ${trials.length + 1} of ${test.trials}`),
      element("progress", { max: test.trials * test.items.length, value: done, "aria-label": "Progress" }),
      element("p", {}, sound("a", "A"), sound("x", "X"), sound("b", "B")),
      element("p", {}, "Hear all three, then: ", vote("a", "X is A"), vote("b", "X is B")),
      element("p", { className: "soft" }, "Keys: a, x, b play; 1 is “X is A”, 2 is “X is B”.")));
    hear("");
  }
  function finish() {
    for (const source of sources) source.stop();
    const name = element("input", { type: "text", id: "listener", maxLength: 200, autocomplete: "name" });
    const problem = element("p", { className: "warn", role: "alert" });
    main.replaceChildren(element("section", {},
      element("p", {}, "Thank you, that was all. Say who you are, save the file, and send it to whoever asked you."),
      element("label", {}, "Name, or the number that you were given ", name), problem,
      element("button", { type: "button", id: "save", onclick: () => {
        problem.textContent = name.value.trim() ? "" : "Say who you are, so that nobody is counted twice.";
        if (problem.textContent) return;
        const link = element("a", { href: URL.createObjectURL(new Blob([JSON.stringify(result(name.value.trim()), null, 2)], { type: "application/json" })), download: "answers.json" });
        document.body.append(link);
        link.click();
        link.remove();
      } }, "Save my answers")));
  }
  const result = listener => ({
    twinrack_abx: 1, test: test.test, title: test.title, planned: test.trials, alpha: test.alpha, listener,
    date: new Date().toISOString().slice(0, 10), items: answers,
  });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
    main.querySelector(`[data-sound="${CSS.escape(event.key)}"]`)?.click();
    const vote = { 1: "a", 2: "b" }[event.key];
    if (vote) main.querySelector(`[data-answer=${vote}]:not(:disabled)`)?.click();
  });
  welcome();
  return { get sounding() { return playing === "x" ? x : playing; }, get gains() { return gains; } };
})();
