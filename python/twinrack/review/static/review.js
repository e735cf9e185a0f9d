// The form of a review: answers, remarks and a verdict become a file that the reviewer sends back. It is signed by a key
// that this browser makes and keeps, where it can.
(() => {
  const given = JSON.parse(document.getElementById("form").textContent), form = document.getElementById("review");
  const element = (kind, attributes = {}, ...children) => {
    const node = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) name in node ? node[name] = value : node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const comments = [];
  let played = 0;  // seconds in which something sounded
  setInterval(() => { if (players().some(p => p.playing)) played += 0.25; }, 250);
  const choice = (name, options, chosen) => options.map(([value, label]) =>
    element("label", {}, element("input", { type: "radio", name, value, checked: value === chosen }), " ", label));
  const chosen = name => form.querySelector(`input[name="${name}"]:checked`)?.value ?? "";

  const questions = element("fieldset", {}, element("legend", {}, "Questions"));
  given.questions.forEach((text, i) => questions.append(element("div", { className: "question", role: "group", "aria-label": text },
    element("div", {}, text),
    element("div", { className: "row" }, ...choice(`question${i}`, [["yes", "yes"], ["no", "no"], ["not judged", "I cannot judge it"]], "not judged"),
      element("span", { className: "grow" }, element("input", { type: "text", id: `note${i}`, placeholder: "because …", "aria-label": `Note to: ${text}`, maxLength: 4000 }))))));

  const list = element("ul"), remark = element("textarea", { "aria-label": "Remark", maxLength: 4000 });
  const block = element("select", { "aria-label": "Block" }, element("option", { value: "" }, "the whole rack"), ...given.blocks.map(b => element("option", { value: b }, b)));
  const atPresent = element("input", { type: "checkbox" });
  const players = () => typeof Twinrack === "undefined" ? [] : Twinrack.pages;
  const present = () => { const p = players().find(p => p.playing) ?? players()[0]; return p ? (p.at / p.scene.rate).toFixed(1) : ""; };
  const show = () => list.replaceChildren(...comments.map((c, i) => element("li", {},
    `${c.at_s ? `at ${c.at_s} s: ` : ""}${c.block ? `${c.block}: ` : ""}${c.text} `,
    element("button", { type: "button", "aria-label": `Remove remark ${i + 1}`, onclick: () => { comments.splice(i, 1); show(); } }, "remove"))));
  const keep = element("button", { type: "button", id: "keep", onclick: () => {
    if (remark.value.trim() === "") return;
    comments.push({ text: remark.value.trim(), at_s: atPresent.checked ? present() : "", block: block.value });
    remark.value = "";
    show();
  } }, "Keep this remark");
  const remarks = element("fieldset", {}, element("legend", {}, "Remarks"), list, remark,
    element("div", { className: "row" }, element("span", { className: "grow" }, block),
      element("label", {}, atPresent, " at the moment that plays"), keep));

  const conditions = element("textarea", { "aria-label": "Conditions or reasons", placeholder: "Conditions, or why not", maxLength: 8000 });
  const decision = element("fieldset", {}, element("legend", {}, "Verdict"),
    element("div", { className: "row" }, ...choice("decision", [["accept", "accept"], ["conditions", "accept with conditions"], ["refuse", "refuse"]], "")), conditions);
  const name = element("input", { type: "text", id: "name", autocomplete: "name", maxLength: 200 });
  const role = element("input", { type: "text", id: "role", autocomplete: "organization-title", maxLength: 200 });
  const expert = element("input", { type: "checkbox", id: "expert" }), signs = element("input", { type: "checkbox", checked: true });
  const who = element("fieldset", {}, element("legend", {}, "You"),
    element("div", { className: "row" }, element("label", { className: "grow" }, "Name ", name), element("label", { className: "grow" }, "Role ", role)),
    element("div", { className: "row" }, element("label", {}, expert, " I am a data scientist"),
      element("label", {}, signs, " sign with a key that this browser makes for this page")));
  const problem = element("p", { className: "warn", role: "alert", id: "problem" });
  const save = element("button", { type: "submit", id: "save" }, "Save the verdict");
  form.append(questions, remarks, decision, who, problem, save,
    element("p", { className: "soft" }, "It is saved as a small file. Send it to whoever asked you; they keep it in the rack's history with: twinrack review add"));

  const lack = () => {
    if (!chosen("decision")) return "Choose accept, accept with conditions, or refuse.";
    if (!name.value.trim()) return "Say who you are: a name that the people who asked you know.";
    if (chosen("decision") !== "accept" && !conditions.value.trim()) return "Say under which conditions, or why not.";
    return "";
  };
  const review = () => ({
    twinrack_review: 1, patch: given.patch, rack: given.rack, decision: chosen("decision"), conditions: conditions.value.trim(),
    name: name.value.trim(), role: role.value.trim(), data_scientist: expert.checked,
    date: new Date().toISOString().slice(0, 10), played_s: String(Math.round(played)),
    answers: given.questions.map((question, i) => ({ question, answer: chosen(`question${i}`), note: document.getElementById(`note${i}`).value.trim() })),
    comments: comments.map(c => ({ ...c })),
  });

  // Signed is the SHA-256 of the text that JSON.stringify gives, as Python's side writes the same.
  const utf8 = text => new TextEncoder().encode(text), base64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  async function keys() {
    const store = await new Promise((resolve, reject) => {
      const asked = indexedDB.open("twinrack-review", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("keys");
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    }).catch(() => null);
    const run = (mode, work) => new Promise((resolve, reject) => {
      const asked = work(store.transaction("keys", mode).objectStore("keys"));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
    const known = store && await run("readonly", s => s.get("own")).catch(() => undefined);
    if (known) return known;
    const pair = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    if (store) await run("readwrite", s => s.put(pair, "own")).catch(() => undefined);
    return pair;
  }
  async function signed(data) {
    const { privateKey, publicKey } = await keys();
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(JSON.stringify(data))));
    const hex = [...hash].map(b => b.toString(16).padStart(2, "0")).join("");
    const signature = await crypto.subtle.sign({ name: "Ed25519" }, privateKey, utf8(`twinrack review signature 1\n${hex}`));
    const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)), kind = utf8("ssh-ed25519");
    const line = new Uint8Array([0, 0, 0, kind.length, ...kind, 0, 0, 0, raw.length, ...raw]);
    return { ...data, signature: { key: `ssh-ed25519 ${base64(line)}`, signature: base64(signature) } };
  }
  for (const button of document.querySelectorAll("button.try")) {
    button.addEventListener("click", () => {
      const [first] = players();
      first.reset();
      first.move(JSON.parse(button.dataset.values));
      first.measured.open = true;
      first.root.scrollIntoView({ behavior: "smooth" });
    });
  }
  form.addEventListener("submit", async event => {
    event.preventDefault();
    problem.textContent = lack();
    if (problem.textContent) return;
    let data = review();
    if (signs.checked) {
      try {
        data = await signed(data);
      } catch {
        problem.textContent = "This browser cannot sign, so the file is unsigned; sign it with: twinrack review sign";
      }
    }
    const link = element("a", { href: URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" })), download: "verdict.json" });
    document.body.append(link);
    link.click();
    link.remove();
  });
})();
