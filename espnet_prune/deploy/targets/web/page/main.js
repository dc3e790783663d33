// Copyright 2026 espnet_prune contributors
//  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

// The page: what is used, what is heard, what is shown.

import { samplesOf } from "./audio.js";
import { downloadJson } from "./download.js";
import { listen } from "./microphone.js";
import { showModels, usedModels } from "./models.js";
import { ask } from "./recogniser.js";

const at = (id) => document.getElementById(id);
const problem = at("problem");
let speech = null; // what all models have in common
let queue = Promise.resolve(); // one recording after the other
let stop = null; // of the microphone, while it listens
let spoken = 0; // recordings by the microphone

/** Tell what went wrong; null: nothing. */
function tell(error) {
  problem.hidden = !error;
  problem.textContent = error ? `${error.message}.` : "";
}

/** Show a recording, and recognise it by all models that are used. */
function hear(file, name) {
  const article = at("result").content.cloneNode(true).firstElementChild;
  article.dataset.state = "waiting";
  article.querySelector("h3").textContent = name;
  article.querySelector("audio").src = URL.createObjectURL(file);
  at("results").prepend(article);
  at("empty").hidden = true;
  queue = queue.then(() => recognise(article, file, name)).catch((error) => {
    const own = article.querySelector(".problem");
    own.textContent = `${error.message}.`;
    own.hidden = false;
    for (const part of article.querySelectorAll("audio, .scroll")) part.hidden = true;
  }).finally(() => (article.dataset.state = "done"));
}

async function recognise(article, file, name) {
  const samples = await samplesOf(file, name, speech);
  const seconds = samples.length / speech.rate;
  article.querySelector(".seconds").textContent = `${seconds.toFixed(1)} s`;
  const models = usedModels();
  if (!models.length) throw new Error("No model is used; tick one in the table above");
  const lines = models.map((model) => addLine(article, model));
  for (const [i, model] of models.entries()) {
    await recogniseBy(model, lines[i], samples, seconds);
  }
}

async function recogniseBy(model, { text, time }, samples, seconds) {
  try {
    text.textContent = "…";
    const number = await model.ready();
    const told = (share) => (text.textContent = `${Math.round(100 * share)} % …`);
    const found = await ask("recognise", { number, samples, speech }, told);
    text.textContent = found.text || "nothing was heard";
    text.classList.toggle("nothing", !found.text);
    const per = found.ms / seconds;
    time.textContent = `${per.toFixed(per < 10 ? 1 : 0)} ms`;
    time.title = `${found.ms.toFixed(0)} ms for ${seconds.toFixed(2)} s`;
    time.dataset.ms = found.ms;
  } catch (error) {
    text.textContent = `${error.message}.`;
    text.classList.add("failed");
  }
}

function addLine(article, model) {
  const row = article.querySelector("tbody").insertRow();
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = `${model.name}, ${model.precision}`;
  row.append(head);
  const text = row.insertCell(), time = row.insertCell();
  text.className = "text";
  time.className = "number";
  return { text, time };
}

/** Begin to listen, or stop and recognise. */
async function speak() {
  const button = at("speak");
  button.disabled = true;
  try {
    tell(null);
    if (stop) {
      const wav = await stop().finally(() => (stop = null));
      hear(wav, `Spoken ${++spoken}`);
    } else {
      stop = await listen((level, seconds) => {
        at("level").value = level;
        at("seconds").textContent = `${seconds.toFixed(1)} s`;
      });
    }
  } catch (error) {
    tell(error);
  }
  button.disabled = false;
  button.classList.toggle("active", Boolean(stop));
  at("speak-label").textContent = stop ? "Stop" : "Speak";
  at("listening").hidden = !stop;
}

function listenToPage() {
  at("files").addEventListener("change", ({ target }) => {
    for (const file of target.files) hear(file, file.name);
    target.value = "";
  });
  at("speak").addEventListener("click", speak);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
  for (const type of ["dragleave", "drop"]) {
    document.addEventListener(type, () => at("drop").classList.remove("over"));
  }
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    for (const file of event.dataTransfer.files) hear(file, file.name);
  });
}

tell(null);
try {
  const about = await downloadJson("models.json");
  speech = about.speech;
  listenToPage();
  showModels(about);
  document.body.dataset.state = "ready";
} catch (error) {
  document.body.dataset.state = "failed";
  tell(error);
}
