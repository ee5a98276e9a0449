// The page: what is asked, by voice, file or keyboard, and the answer to it.

import * as draw from "/page/drawing.js";
import { Player, Recorder, decode, wav } from "/page/sound.js";

const $ = (id) => document.getElementById(id);
const player = new Player();
let limits = { seconds: 60, bytes: 12e6, characters: 1000 };
let recorder = null; // while recording
let starting = false; // while the browser asks for the microphone
let asksQuestions = false; // whether the model answers questions about recordings
let recording = null; // the samples that questions are about
let asked = 0; // number of the newest question: an answer to an older one is dropped

// --- What is said to the user

function say(...parts) {
  $("status").replaceChildren(...parts);
}

function complain(text) {
  const problem = $("problem");
  problem.hidden = !text;
  problem.textContent = text || "";
  if (!text) return;
  say("");
  $("answer").hidden = true; // it belongs to another question
}

// Whatever goes wrong in an action ends as one sentence.
function guarded(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      document.body.classList.remove("busy");
      complain(error.message);
    }
  };
}

// --- The server

async function ask(path, body, type) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body, headers: { "Content-Type": type } });
  } catch {
    throw new Error("The server does not answer. Is atat serve still running?");
  }
  const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Error(sentence(answer.error));
  return answer;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

async function question(path, body, type, samples) {
  const number = ++asked;
  complain("");
  say("Understanding …");
  document.body.classList.add("busy");
  const began = performance.now();
  try {
    const answer = await ask(path, body, type);
    if (number === asked) show(answer, samples, (performance.now() - began) / 1000);
  } catch (error) {
    if (number === asked) throw error;
  } finally {
    if (number === asked) document.body.classList.remove("busy");
  }
}

// Whatever is still being answered is not wanted any more.
function dropQuestion() {
  document.body.classList.remove("busy");
  return ++asked;
}

async function understandSamples(samples) {
  recording = null;
  const length = samples.length / 16000;
  if (length > limits.seconds) {
    throw new Error(`The recording lasts ${length.toFixed(0)} s; up to ${limits.seconds} s are understood. Cut it at its pauses.`);
  }
  if (!samples.length) throw new Error("The recording is empty.");
  recording = samples;
  if (asksQuestions) await askAboutIt();
  else await question("/recognize", wav(samples), "audio/wav", samples);
}

// A recording and a question are given in any order, and one recording may be asked much.
async function askAboutIt() {
  const words = $("question").value.trim();
  if (!words) {
    $("answer").hidden = true;
    say(`A recording of ${(recording.length / 16000).toFixed(1)} s. Type a question about it.`);
    $("question").focus();
    return;
  }
  await question(`/recognize?question=${encodeURIComponent(words)}`, wav(recording), "audio/wav", recording);
}

// --- Recording

const live = { heights: [], shown: 0 };

async function startRecording() {
  if (starting) return;
  starting = true;
  dropQuestion();
  player.stop();
  complain("");
  say("Waiting for the microphone …");
  let length = 0;
  live.heights = [];
  try {
    recorder = await Recorder.start((block, rate) => {
      length += block.length;
      live.heights.push(Math.min(1, 2.5 * Math.max(...block.map(Math.abs))));
      showLive(length / rate);
      if (recorder && length / rate >= limits.seconds) stop();
    });
  } finally {
    starting = false;
  }
  document.body.classList.add("recording");
  $("record-label").textContent = "Stop";
  $("answer").hidden = true;
  say("Recording. Press Stop when you have spoken, or Escape to drop it.");
  showLive(0);
}

function showLive(seconds) {
  if (!recorder) return;
  const heights = live.heights.slice(-160);
  let picture = $("live");
  if (!picture) {
    picture = draw.element("div", { id: "live", "aria-hidden": "true" });
    $("speak").after(picture);
  }
  const padded = [...heights, ...Array(160 - heights.length).fill(0)];
  picture.replaceChildren(draw.outline(padded), draw.element("span", {}, `${seconds.toFixed(1)} s`));
}

function endRecording() {
  const ended = recorder;
  recorder = null;
  document.body.classList.remove("recording");
  $("record-label").textContent = "Record";
  $("live")?.remove();
  return ended;
}

const stop = guarded(async () => {
  const ended = endRecording();
  // The last block goes beyond the limit.
  if (ended) await understandSamples((await ended.stop()).slice(0, Math.floor(16000 * limits.seconds)));
});

$("record").addEventListener("click", guarded(() => (recorder ? stop() : startRecording())));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !recorder) return;
  endRecording().release();
  say("The recording was dropped.");
});

// --- Files

const take = guarded(async (file) => {
  if (!file) return;
  const number = dropQuestion();
  if (recorder) endRecording().release();
  player.stop();
  complain("");
  say(`Reading ${file.name} …`);
  if (file.size > 20 * limits.bytes) throw new Error(`${file.name} is too large: up to ${limits.seconds} s are understood.`);
  const samples = await decode(file);
  if (number === asked) await understandSamples(samples);
});

$("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}

// --- Sentences

$("sentence").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    const text = $("text").value.trim();
    if (!text) throw new Error("Type a sentence first.");
    player.stop();
    await question("/understand", JSON.stringify({ text }), "application/json", null);
  })();
});

// --- Questions about a recording

$("asking").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    if (!$("question").value.trim()) throw new Error("Type a question first.");
    if (!recording) throw new Error("Record something or choose a recording first; then ask about it.");
    player.stop();
    await askAboutIt();
  })();
});

// --- The answer

function show(answer, samples, took) {
  const spoken = asksQuestions ? showAnswer(answer, samples) : showUnderstanding(answer, samples);
  $("json").lastElementChild.textContent = JSON.stringify(answer, null, 2);
  $("answer").hidden = false;
  arrange();
  // All of it is in the page for those who see.
  say(draw.element("span", { class: "hidden" }, spoken), ` Answered in ${took.toFixed(1)} s.`);
}

// The verdict, and why there is none; the functions below return what a screen reader is to say.
function showVerdict(title, reason) {
  $("answer").classList.toggle("refused", !title);
  $("verdict").replaceChildren(
    draw.element("span", { class: "mark", "aria-hidden": "true" }, title ? "✓" : "?"),
    draw.element("span", {}, title || (asksQuestions ? "No answer" : "Not understood")),
  );
  $("reason").hidden = Boolean(title);
  $("reason").textContent = title ? "" : sentence(reason);
}

// The answer to a question: its words, when they are said, and others that it might have been.
function showAnswer(answer, samples) {
  const reason = "no words were heard in the recording";
  const words = answer.words ? answer.said.slice(answer.words[0], answer.words[1] + 1) : [];
  const slots = answer.seconds ? [{ name: "answer", value: answer.answer, seconds: answer.seconds }] : [];
  showVerdict(answer.answer, reason);
  // The other words of a long recording would hide those of the answer.
  showSound({ duration: answer.duration, words, spans: slots }, samples);
  $("play-answer").hidden = !slots.length;
  for (const part of ["transcript", "transcript-title"]) $(part).hidden = !answer.transcript;
  $("transcript").replaceChildren(...(words.length ? draw.marked(answer.said, answer.words, "answer") : [answer.transcript]));
  $("tree").hidden = $("tree-title").hidden = true;
  $("slots").replaceChildren(...(words.length ? [draw.timed(words)] : []));
  const when = ({ seconds }) => (seconds ? [" ", draw.element("small", {}, draw.span(seconds))] : []);
  showList(
    "answers",
    "log probability of the first and the last word",
    answer.nbest.map((one) => ({ score: one.score, shown: [one.answer, ...when(one)] })),
  );
  return answer.answer ? `The answer: ${answer.answer}${slots.length ? `, ${draw.span(answer.seconds)}` : ""}.` : sentence(reason);
}

function showUnderstanding(answer, samples) {
  const root = answer.tree && draw.parse(answer.tree);
  const intent = answer.intent && draw.spoken(answer.intent);
  const title = intent || (answer.tree === null && answer.text) || "nothing";
  showVerdict(answer.understood && title, answer.reason);
  showConfidence(answer);
  showSound(answer, samples);
  for (const part of ["transcript", "transcript-title"]) $(part).hidden = !answer.transcript;
  $("transcript").textContent = answer.transcript || "";
  $("tree").hidden = $("tree-title").hidden = !root;
  $("tree-title").textContent = answer.understood ? "Meaning" : "Best guess";
  $("tree").replaceChildren(...(root ? [draw.tree(root)] : []));
  const hasTimes = answer.spans.some((slot) => slot.seconds);
  $("slots").replaceChildren(...(answer.spans.length ? [draw.table(answer.spans, hasTimes)] : []));
  showHypotheses(answer);
  const slots = answer.spans.map((slot) => `${draw.spoken(slot.name)} ${slot.value}`).join(", ");
  return answer.understood
    ? `Understood: ${title}${slots ? `; ${slots}` : ""}.`
    : `Not understood: ${answer.reason}.`;
}

function showConfidence({ confidence, threshold }) {
  const place = $("confidence");
  if (confidence === null) {
    place.replaceChildren();
    return;
  }
  const text = `${Math.round(100 * confidence)} %`;
  const bar = draw.element("span", { class: "meter", "aria-hidden": "true" }, draw.element("span", { class: "value" }));
  bar.firstElementChild.style.width = `${100 * confidence}%`;
  if (threshold) {
    const limit = draw.element("span", { class: "threshold", title: `threshold ${Math.round(100 * threshold)} %` });
    limit.style.left = `${100 * threshold}%`;
    bar.append(limit);
  }
  place.replaceChildren(draw.element("span", {}, "confidence ", draw.element("strong", {}, text)), bar);
}

function showSound(answer, samples) {
  $("sound").hidden = !samples;
  if (!samples) return;
  const listen = (span) => {
    player.play(samples, span, (second) => {
      picture.moveTo(second);
      $("play").textContent = second === null ? "Play" : "Stop";
    });
  };
  const picture = draw.waveform(samples, answer, listen);
  $("waveform").replaceChildren(picture);
  $("play").onclick = () => (player.playing ? player.stop() : listen([0, answer.duration]));
  $("play-answer").onclick = () => listen(answer.spans[0].seconds);
}

function showHypotheses(answer) {
  const many = answer.nbest.filter((one) => one.text);
  showList(
    "hypotheses",
    "log probability of a token on average",
    many.map(({ text, score }) => {
      const root = draw.parse(text);
      return { score, shown: [root ? draw.line(root) : text] };
    }),
  );
}

// All that was found, best first, each with its score; nothing if there is one alone.
function showList(name, title, many) {
  $("nbest").hidden = many.length < 2;
  $("nbest").firstElementChild.textContent = `${many.length} ${name}`;
  $("nbest").lastElementChild.replaceChildren(
    ...many.map(({ score, shown }) =>
      draw.element(
        "li",
        {},
        draw.element("span", { class: "line" }, ...shown),
        draw.element("span", { class: "score", title }, score.toFixed(2)),
      ),
    ),
  );
}

// What depends on the width of the page.
function arrange() {
  if ($("answer").hidden) return;
  const tree = $("tree");
  tree.classList.remove("narrow");
  tree.classList.toggle("narrow", tree.scrollWidth > tree.clientWidth + 1);
  for (const lane of document.querySelectorAll(".lane.words, .lane.slots")) draw.spread(lane);
}

let width = 0;
new ResizeObserver(([entry]) => {
  if (entry.contentRect.width === width) return;
  width = entry.contentRect.width;
  arrange();
}).observe(document.querySelector("main"));

// A slot that is pointed at is marked wherever it is drawn.
for (const name of ["mouseover", "focusin"]) {
  document.addEventListener(name, (event) => {
    const number = event.target.closest?.("#answer [data-slot]")?.dataset.slot;
    for (const one of document.querySelectorAll("#answer [data-slot]")) {
      one.classList.toggle("lit", one.dataset.slot === number);
    }
  });
}

// --- The start

$("address").textContent = `${location.origin}/recognize`;
guarded(async () => {
  const health = await (await fetch("/health")).json();
  limits = health.limits;
  $("model").textContent = health.model;
  document.title = `${health.model} – atat`;
  const reads = Object.values(health.tasks);
  $("text").maxLength = $("question").maxLength = limits.characters;
  asksQuestions = health.questions;
  $("asking").hidden = !asksQuestions;
  if (asksQuestions) $("address").textContent = `'${location.origin}/recognize?question=who+won'`;
  $("sentence").hidden = !reads.includes("text");
  $("speak").hidden = !reads.includes("audio");
})();
