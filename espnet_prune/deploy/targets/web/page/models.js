// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// The table of models: which are used, in which precision, what is loaded.

import { ask } from "./recogniser.js";

const rows = [];

/** A model of the table: a file for each precision, of which one is loaded at most. */
class Row {
  constructor(model, about) {
    Object.assign(this, { model, about, name: model.name });
    const row = document.getElementById("model-row").content.cloneNode(true);
    const find = (name) => row.querySelector(name);
    this.used = find(".used");
    this.choice = find(".precision");
    this.size = find(".size");
    this.bar = find("progress");
    this.state = find(".state span");
    this.turn = 0; // what was chosen last is shown
    this.loading = null; // promise of the number of what is loaded
    find(".name").textContent = model.name;
    this.used.setAttribute("aria-label", `Use ${model.name}`);
    this.used.checked = model.used;
    this.choice.setAttribute("aria-label", `Precision of ${model.name}`);
    for (const precision of Object.keys(model.files)) {
      this.choice.add(new Option(precision));
    }
    this.choice.value = model.precision;
    this.choice.disabled = this.choice.length === 1;
    this.used.addEventListener("change", () => this.update());
    this.choice.addEventListener("change", () => this.update());
    document.querySelector("#models tbody").append(row);
    this.update();
  }

  get precision() {
    return this.choice.value;
  }

  /** Load what is chosen, and free what was. */
  update() {
    const { file, size } = this.model.files[this.precision];
    this.size.textContent = `${(size / 1e6).toFixed(1)} MB`;
    this.loading?.then((number) => ask("close", { number }), () => {});
    this.loading = null;
    this.turn++;
    this.show(this.used.checked ? "waiting" : "not loaded");
    if (this.used.checked) this.ready().catch(() => {}); // it is shown in the table
  }

  /** Return the number of the model once it is loaded. */
  ready() {
    this.loading ??= this.load();
    return this.loading;
  }

  async load() {
    const { file, size } = this.model.files[this.precision];
    const { onnxruntime, speech } = this.about;
    const turn = ++this.turn;
    const show = (...what) => turn === this.turn && this.show(...what);
    try {
      const number = await ask(
        "open",
        { file, size, shortest: speech.shortest, onnxruntime },
        (share) => show(share < 1 ? "loading" : "opening", share),
      );
      show("ready");
      return number;
    } catch (error) {
      show(error.message);
      if (turn === this.turn) this.loading = null; // the next recording tries again
      throw error;
    }
  }

  show(text, share) {
    this.bar.hidden = share === undefined;
    if (share !== undefined) this.bar.value = share;
    this.state.textContent = text;
    this.state.className = text === "ready" ? "ready" : "";
  }
}

/** Fill the table; what is ticked is loaded. */
export function showModels(about) {
  for (const model of about.models) rows.push(new Row(model, about));
}

/** Return the models that are ticked. */
export function usedModels() {
  return rows.filter((row) => row.used.checked);
}
