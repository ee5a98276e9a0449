// Draws an answer: tree, waveform with words and slots, table of slots, hypotheses.
//
// A slot has a number everywhere, and a colour of its name's own. All text goes into the page as text,
// never as HTML: it comes from a model and from whoever speaks to it.

const HUES = [210, 28, 150, 300, 52, 262, 0, 180, 330, 96];
const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.append(...children.filter((child) => child !== null));
  return found;
}

// "[IN:A b [SL:C d ] ]" -> {label, children}, whose children are such nodes and runs of words; null
// for a text that is not a tree.
export function parse(text) {
  const root = { children: [] };
  const open = [root];
  for (const token of text.split(/\s+/).filter(Boolean)) {
    const parent = open[open.length - 1];
    if (token.startsWith("[") && token.length > 1) {
      const node = { label: token.slice(1), children: [] };
      parent.children.push(node);
      open.push(node);
    } else if (token === "]") {
      if (open.length === 1) return null;
      open.pop();
    } else {
      const last = parent.children[parent.children.length - 1];
      if (typeof last === "string") parent.children[parent.children.length - 1] = `${last} ${token}`;
      else parent.children.push(token);
    }
  }
  const [found] = root.children;
  return open.length === 1 && root.children.length === 1 && found.label ? found : null;
}

// The colours of a model's slots: the same name has the same colour as long as the page is open.
const hues = new Map();

export function hue(name) {
  if (!hues.has(name)) hues.set(name, HUES[hues.size % HUES.length]);
  return hues.get(name);
}

export const spoken = (label) => label.replace(/^(IN|SL):/, "").replaceAll("_", " ").toLowerCase();

function coloured(node, name, number) {
  node.style.setProperty("--hue", hue(name));
  node.dataset.slot = number;
  return node;
}

const badge = (number) => element("span", { class: "badge" }, String(number));

// A tree as nested lists; CSS draws its lines, from the top down or, if that is too wide, indented.
export function tree(node) {
  let number = 0;
  const draw = (one) => {
    if (typeof one === "string") return element("li", { class: "words" }, element("span", { class: "node" }, one));
    const isSlot = one.label.startsWith("SL:");
    const shown = element("span", { class: "node label" });
    const item = element("li", { class: isSlot ? "slot" : "intent" }, shown);
    if (isSlot) {
      coloured(item, one.label.slice(3), ++number);
      shown.append(badge(number));
    }
    shown.append(element("span", { class: "hidden" }, isSlot ? "slot " : "intent "), spoken(one.label));
    if (one.children.length) item.append(element("ul", {}, ...one.children.map(draw)));
    return item;
  };
  return element("ul", {}, draw(node));
}

// A tree in one line, for the list of hypotheses.
export function line(node) {
  const draw = (one) => {
    if (typeof one === "string") return `${one} `;
    const isSlot = one.label.startsWith("SL:");
    const found = element("span", { class: isSlot ? "slot" : "intent" });
    if (isSlot) found.style.setProperty("--hue", hue(one.label.slice(3)));
    found.append(element("small", {}, spoken(one.label)), " ", ...one.children.map(draw));
    return found;
  };
  return draw(node);
}

const seconds = (value) => value.toFixed(2);
export const span = ([start, end]) => `${seconds(start)}–${seconds(end)} s`;

// The slots as a table: number, name, value, when.
export function table(spans, hasTimes) {
  const head = ["Slot", "Value", ...(hasTimes ? ["When"] : [])];
  const rows = spans.map((slot, i) => {
    const when = slot.seconds ? span(slot.seconds) : "unknown";
    return coloured(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, badge(i + 1), spoken(slot.name)),
        element("td", {}, slot.value),
        hasTimes ? element("td", { class: "when" }, when) : null,
      ),
      slot.name,
      i + 1,
    );
  });
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, ...rows),
  );
}

// Words with their times as a table.
export function timed(words) {
  const rows = words.map(({ word, seconds }) =>
    element("tr", {}, element("td", {}, word), element("td", { class: "when" }, span(seconds))),
  );
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...["Word", "When"].map((title) => element("th", { scope: "col" }, title)))),
    element("tbody", {}, ...rows),
  );
}

// What was said as text, in which the words from `first` to `last` are marked as the slot `name`.
export function marked(said, [first, last], name) {
  const text = (from, to) => said.slice(from, to).map(({ word }) => word).join(" ");
  const found = coloured(element("mark", {}, text(first, last + 1)), name, 1);
  return [text(0, first), found, text(last + 1)].flatMap((part) => (part ? [part, " "] : []));
}

// Samples as an outline of `count` bars, the loudest of which is 1.
export function bars(samples, count) {
  const found = [];
  for (let bar = 0; bar < count; bar++) {
    const end = Math.floor(((bar + 1) * samples.length) / count);
    let peak = 0;
    for (let i = Math.floor((bar * samples.length) / count); i < end; i++) peak = Math.max(peak, Math.abs(samples[i]));
    found.push(peak);
  }
  const loudest = Math.max(0.02, ...found); // silence is a line, not noise blown up
  return found.map((peak) => peak / loudest);
}

// Bars as an SVG that fills its place.
export function outline(heights) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 -1.05 ${heights.length} 2.1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", heights.map((h, i) => `M${i + 0.5} ${-Math.max(h, 0.012)}V${Math.max(h, 0.012)}`).join(""));
  svg.append(path);
  return svg;
}

const EDGE = 0.3; // seconds of silence that are shown before and after what is said
const QUIET = 0.05; // of the loudest

// From when to when a recording is worth looking at: seconds.
function view(samples, duration) {
  const heights = bars(samples, Math.max(1, Math.round(duration / 0.05)));
  const loud = heights.map((height, i) => (height > QUIET ? i : -1)).filter((i) => i >= 0);
  if (!loud.length) return [0, duration];
  const [first, last] = [loud[0], loud[loud.length - 1] + 1].map((i) => (i * duration) / heights.length);
  return [Math.max(0, first - EDGE), Math.min(duration, last + EDGE)];
}

// The waveform with words, slots and seconds under it, without long silence before and after.
// onSlot is called with the span to hear.
export function waveform(samples, answer, onSlot) {
  const rate = samples.length / answer.duration;
  const [from, to] = view(samples, answer.duration);
  const percent = (second) => `${((100 * (Math.min(Math.max(second, from), to) - from)) / (to - from)).toFixed(3)}%`;
  const place = (node, [start, end]) => {
    node.style.left = percent(start);
    node.style.width = percent(from + Math.min(end, to) - Math.max(start, from));
    return node;
  };
  const picture = element("div", { class: "picture" }, outline(bars(samples.subarray(from * rate, to * rate), 320)));
  const words = element("div", { class: "lane words", "aria-hidden": "true" });
  const slots = element("div", { class: "lane slots" });
  for (const { word, seconds } of answer.words) {
    if (seconds) words.append(place(element("span", {}, element("span", {}, word)), seconds));
  }
  answer.spans.forEach((slot, i) => {
    if (!slot.seconds) return;
    const band = coloured(element("div", { class: "band" }), slot.name, i + 1);
    picture.prepend(place(band, slot.seconds));
    const title = `Play ${spoken(slot.name)}: ${slot.value}, ${span(slot.seconds)}`;
    const bar = element("button", { type: "button", "aria-label": title, title }, badge(i + 1), element("span", { class: "name" }, spoken(slot.name)));
    bar.addEventListener("click", () => onSlot(slot.seconds));
    slots.append(place(coloured(bar, slot.name, i + 1), slot.seconds));
  });
  const axis = element("div", { class: "lane axis", "aria-hidden": "true" });
  const step = [0.25, 0.5, 1, 2, 5, 10, 30].find((one) => (to - from) / one <= (innerWidth < 600 ? 4 : 8)) || 60;
  for (let at = Math.ceil(from / step) * step; at < to - step / 4; at += step) {
    const tick = element("span", {}, `${Number(at.toFixed(2))} s`);
    tick.style.left = percent(at);
    axis.append(tick);
  }
  const head = element("div", { class: "playhead", hidden: "" });
  picture.append(head);
  const lanes = [words, slots].filter((lane) => lane.children.length);
  const found = element("div", { class: "waveform" }, picture, ...lanes, axis);
  found.moveTo = (second) => {
    head.hidden = second === null;
    if (second !== null) head.style.left = percent(second);
  };
  return found;
}

// Puts words or slots that would cover each other into further rows. To be called when their lane is
// in the page, and when its width changes.
export function spread(lane) {
  const ends = [];
  const edge = lane.getBoundingClientRect();
  for (const item of lane.children) {
    const inner = item.firstElementChild;
    const width = Math.max(item.offsetWidth, lane.classList.contains("words") ? inner.offsetWidth + 6 : 0);
    // Words stand around the middle of their time, within the picture.
    const middle = item.offsetLeft + item.offsetWidth / 2;
    let start = Math.max(0, Math.min(middle - width / 2, edge.width - width));
    let row = ends.findIndex((end) => end <= start + 1);
    if (row < 0) row = ends.length;
    ends[row] = start + width;
    item.style.top = `calc(${row} * var(--row))`;
    if (lane.classList.contains("words")) inner.style.left = `${start - item.offsetLeft + 3}px`;
    else item.classList.toggle("narrow", item.offsetWidth < 64); // room for the number only
  }
  lane.style.height = `calc(${Math.max(1, ends.length)} * var(--row))`;
}
