// Shows the entries that match the filters, one page at a time. Names chosen by others become text
// or attributes, never markup.

const COLOURS = 7;

const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const percent = (thousandths) => `${(thousandths / 10).toFixed(1)}%`;
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
// Systems differ in how they encode an ä.
const normalized = (text) => text.normalize("NFC").toLowerCase();

const { emotions, thumbnails } = take("about");
const entries = take("rows").map(
  ([source, kind, status, found = [], width, height, frames, annotated, thumbnail, error, timeline,
    score = 0], index) => {
    let faces = 0;
    for (let at = 1; at < found.length; at += 3) faces += found[at];
    const picture = index in thumbnails ? `data:image/jpeg;base64,${thumbnails[index]}` : thumbnail;
    return { source, kind, status, found, faces, width, height, frames, annotated, picture, error,
      timeline, score, normalized: normalized(source), confidence: 0 };
  });

// Returns the content of a data block and removes the block, so that it is not in memory twice.
function take(id) {
  const block = $(id);
  const content = JSON.parse(block.textContent);
  block.remove();
  return content;
}

function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeEmotionName(index) {
  return [makeSvg("svg", { class: "swatch", "aria-hidden": "true" },
    makeSvg("rect", { width: "100%", height: "100%", class: `e${index % COLOURS}` })),
  make("bdi", {}, emotions[index])];
}

// A list, one page of which is in the document.
class Pages {
  constructor(section, render) {
    this.root = $(section).querySelector(".pages");
    this.render = render;
    this.size = Number(this.root.dataset.size);
    this.list = this.root.querySelector(".items");
    this.root.prepend($("pager").content.cloneNode(true));
    this.status = this.root.querySelector("[role=status]");
    this.nav = this.root.querySelector("nav");
    this.nav.setAttribute("aria-label", `Pages of ${this.root.dataset.noun}`);
    this.input = this.nav.querySelector(".page");
    this.nav.querySelector(".previous").addEventListener("click", () => this.turn(this.page - 1));
    this.nav.querySelector(".next").addEventListener("click", () => this.turn(this.page + 1));
    this.input.addEventListener("change", () => this.turn(this.input.valueAsNumber - 1));
  }

  show(items) {
    this.items = items;
    this.last = Math.max(0, Math.ceil(items.length / this.size) - 1);
    this.turn(0);
  }

  turn(page) {
    this.page = Math.min(this.last, Math.max(0, page || 0));
    const first = this.page * this.size;
    const shown = this.items.slice(first, first + this.size);
    this.list.replaceChildren(...shown.map(this.render));
    this.status.textContent = shown.length
      ? `${number(first + 1)}–${number(first + shown.length)} of ${number(this.items.length)} `
        + this.root.dataset.noun
      : `No ${this.root.dataset.noun}`;
    this.nav.hidden = this.last === 0;
    this.input.value = this.page + 1;
    this.input.max = this.last + 1;
    this.nav.querySelector("span").textContent = `of ${number(this.last + 1)}`;
    // A button that is really disabled would lose the focus of keyboard users.
    this.nav.querySelector(".previous").ariaDisabled = this.page === 0;
    this.nav.querySelector(".next").ariaDisabled = this.page === this.last;
    if (this.root.getBoundingClientRect().top < 0) this.root.scrollIntoView();
  }
}

function makeCard(entry) {
  const cut = entry.source.lastIndexOf("/") + 1;
  const card = make("li", { class: "card" }, makePicture(entry),
    make("p", { class: "name", title: entry.source }, make("bdi", {}, entry.source.slice(cut))));
  if (cut) {
    card.append(make("p", { class: "folder", title: entry.source },
      make("bdi", {}, entry.source.slice(0, cut))));
  }
  if (entry.found.length) card.append(makeEmotions(entry));
  card.append(make("p", { class: "details" }, describe(entry)));
  if (entry.timeline) {
    const button = make("button", { type: "button" }, "Timeline");
    button.addEventListener("click", () => openVideo(entry));
    card.append(button);
  }
  return card;
}

function makePicture(entry) {
  const results = { ok: plural(entry.faces, "face"), no_face: "No face", failed: "Failed" };
  let picture = make("span", { class: "missing" }, results[entry.status]);
  if (entry.picture) {
    const missing = picture;
    picture = make("img", { src: entry.picture, alt: entry.source, loading: "lazy" });
    picture.addEventListener("error", () => picture.replaceWith(missing));
  }
  if (!entry.annotated) return make("div", { class: "picture" }, picture);
  return make("a", { class: "picture", href: entry.annotated, target: "_blank",
    "aria-label": `Open annotated ${entry.source}` }, picture);
}

function makeEmotions(entry) {
  const list = make("ul", { class: "found" });
  for (let at = 0; at < entry.found.length; at += 3) {
    const [emotion, count, highest] = entry.found.slice(at, at + 3);
    list.append(make("li", {}, ...makeEmotionName(emotion), count > 1 ? ` ×${number(count)}` : "",
      make("span", { class: "percent" }, `${count > 1 ? "≤ " : ""}${percent(highest)}`)));
  }
  return list;
}

function describe(entry) {
  const details = [];
  if (entry.width) details.push(`${entry.width} × ${entry.height}`);
  if (entry.frames) details.push(plural(entry.frames, "frame"));
  if (entry.kind === "video" && entry.faces) details.push(plural(entry.faces, "face"));
  if (entry.status === "no_face") details.push("no face");
  if (entry.error) details.push(entry.error);
  return details.join(" · ");
}

function filter() {
  const selected = new Set();
  for (const box of $("emotions").querySelectorAll(":checked")) selected.add(Number(box.value));
  const threshold = 10 * $("confidence").valueAsNumber;
  const least = $("score").valueAsNumber;
  const name = normalized($("name").value.trim());
  const kind = $("kind").value;
  const status = $("status").value;
  $("threshold").textContent = `${$("confidence").value}%`;
  $("least").textContent = number(least);

  const matching = entries.filter((entry) => {
    entry.confidence = -1;
    for (let at = 0; at < entry.found.length; at += 3) {
      if (!selected.size || selected.has(entry.found[at])) {
        entry.confidence = Math.max(entry.confidence, entry.found[at + 2]);
      }
    }
    return (!kind || entry.kind === kind) && (!status || entry.status === status)
      && (!(selected.size || threshold) || entry.confidence >= threshold)
      && entry.score >= least
      && entry.normalized.includes(name);
  });
  inputs.show(sort(matching, $("order").value));
}

// Sorts entries that are in the order of their names. Those without a face stay last.
function sort(matching, by) {
  if (by === "name-reverse") return matching.reverse();
  if (by === "faces") return matching.sort((one, other) => other.faces - one.faces);
  const rank = ({ confidence }) => (confidence < 0 ? Infinity : confidence);
  if (by === "lowest") return matching.sort((one, other) => rank(one) - rank(other) || 0);
  if (by === "highest") return matching.sort((one, other) => other.confidence - one.confidence);
  return matching;
}

function openVideo(entry) {
  videos.turn(Math.floor(videos.items.indexOf(entry) / videos.size));
  const item = videos.list.children[videos.items.indexOf(entry) % videos.size].firstChild;
  item.open = true;
  item.scrollIntoView();
  item.firstChild.focus();
}

function makeVideo(entry) {
  const item = make("details", { class: "video" },
    make("summary", {}, make("bdi", {}, entry.source), " ",
      make("small", {}, describe(entry) || "no frames were read")));
  // Draw the timeline and load the video only when the item is opened.
  item.addEventListener("toggle", () => item.append(...makeTimeline(entry)), { once: true });
  return make("li", {}, item);
}

function makeTimeline(entry) {
  if (!entry.timeline) {
    return [make("p", {}, entry.faces ? "Its faces are in faces.csv." : "No face was found.")];
  }
  const [width, bins] = entry.timeline;
  const { plot, cursors } = makePlot(bins);
  const slider = make("input", { type: "range", min: 0, max: bins.length - 1, step: 1, value: 0,
    "aria-label": `Time in ${entry.source}` });
  const reading = make("p", { class: "reading" });
  const player = makePlayer(entry);

  const show = (bin) => {
    for (const cursor of cursors) {
      cursor.setAttribute("x1", bin + 0.5);
      cursor.setAttribute("x2", bin + 0.5);
    }
    const text = `${clock(bin * width, width)}: ${describeBin(bins[bin])}`;
    reading.textContent = text;
    slider.ariaValueText = text;
  };
  const seek = (bin) => {
    slider.value = bin;
    show(bin);
    player.seek(bin * width);
  };
  const binAt = (event) => {
    const { left, width: across } = plot.querySelector("svg.strip").getBoundingClientRect();
    return Math.min(bins.length - 1,
      Math.max(0, Math.floor(((event.clientX - left) / across) * bins.length)));
  };
  const overStrip = (event) => event.target.closest(".strip");
  plot.addEventListener("pointermove", (event) => overStrip(event) && show(binAt(event)));
  plot.addEventListener("pointerleave", () => show(slider.valueAsNumber));
  plot.addEventListener("click", (event) => overStrip(event) && seek(binAt(event)));
  slider.addEventListener("input", () => seek(slider.valueAsNumber));
  player.follow((time) => {
    slider.value = Math.floor(time / width);
    show(slider.valueAsNumber);
  });
  plot.append(slider, make("div", { class: "clock", "aria-hidden": "true" },
    make("span", {}, "0:00"), make("span", {}, clock(bins.length * width, width))));
  show(0);
  return [...player.elements, make("p", { class: "hint" },
    "Mean probability of each emotion over time. On the right: the mean of the whole video."),
  plot, reading, makeTable(width, bins)];
}

// Returns a strip per emotion, and the line in each that marks a time.
function makePlot(bins) {
  const means = meansOf(bins);
  const plot = make("div", { class: "plot" });
  const cursors = emotions.map((emotion, index) => {
    const cursor = makeSvg("line", { y1: 0, y2: 100 });
    plot.append(make("span", { class: "label" }, ...makeEmotionName(index)),
      makeSvg("svg", { viewBox: `0 0 ${bins.length} 100`, preserveAspectRatio: "none",
        "aria-hidden": "true", class: "strip" },
      makeSvg("path", { d: areaOf(bins, index + 1), class: `e${index % COLOURS}` }), cursor),
      make("span", { class: "mean" }, `${means[index].toFixed(0)}%`));
    return cursor;
  });
  return { plot, cursors };
}

// The annotated video and a link to it, for browsers that cannot play it.
function makePlayer(entry) {
  if (!entry.annotated) return { elements: [], seek() {}, follow() {} };
  const link = make("a", { href: entry.annotated, target: "_blank" }, "Open the annotated video");
  const player = make("video", { controls: "", preload: "metadata", src: entry.annotated,
    ...(entry.picture && { poster: entry.picture }), "aria-label": `Annotated ${entry.source}` });
  player.addEventListener("error", () => player.remove());
  return {
    elements: [player, make("p", {}, link)],
    seek(time) {
      player.currentTime = time;
      link.href = `${entry.annotated}#t=${time}`;
    },
    follow(show) {
      player.addEventListener("timeupdate", () => show(player.currentTime));
    },
  };
}

function meansOf(bins) {
  const sums = emotions.map(() => 0);
  let faces = 0;
  for (const [count, ...percentages] of bins.filter(Boolean)) {
    faces += count;
    percentages.forEach((value, index) => { sums[index] += count * value; });
  }
  return sums.map((sum) => sum / faces);
}

// Returns the path of the area below the values in a column of the bins, with gaps at empty bins.
function areaOf(bins, column) {
  return bins.map((bin, at) => (bin ? `M${at} 100V${100 - bin[column]}h1V100z` : "")).join("");
}

function describeBin(bin) {
  if (!bin) return "no face";
  const [count, ...percentages] = bin;
  const named = percentages.map((value, index) => [value, emotions[index]])
    .sort((one, other) => other[0] - one[0]);
  return named.slice(0, 3).map(([value, name]) => `${name} ${value}%`).join(", ")
    + ` (${plural(count, "face")})`;
}

// Returns seconds as h:mm:ss, with enough decimals to tell bins of `width` apart.
function clock(seconds, width) {
  const digits = width < 0.1 ? 2 : width < 1 ? 1 : 0;
  const rest = (seconds % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

function makeTable(width, bins) {
  const table = make("details", { class: "numbers" }, make("summary", {}, "As a table"));
  table.addEventListener("toggle", () => {
    const head = ["Time", "Faces", ...emotions].map((name) => make("th", { scope: "col" }, name));
    const rows = bins.map((bin, at) => make("tr", {},
      make("th", { scope: "row" }, clock(at * width, width)),
      ...(bin || [0]).map((value, column) => make("td", {}, column ? `${value}%` : number(value)))));
    // It may be wider than the page. Keyboard users must be able to scroll it.
    table.append(make("div", { class: "wide", tabindex: 0, role: "region",
      "aria-label": "Timeline as a table" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))));
  }, { once: true });
  return table;
}

function makeFailure(entry) {
  return make("li", {}, make("p", { class: "name" }, make("bdi", {}, entry.source)),
    make("p", {}, make("bdi", {}, entry.error || "unknown")));
}

$("emotions").append(...emotions.map((name, index) => make("label", {},
  make("input", { type: "checkbox", value: index }), ...makeEmotionName(index))));
$("score").max = entries.reduce((most, { score }) => Math.max(most, score), 0);
$("score").parentElement.hidden = $("score").max === "0";  // an earlier version knew no scores
$("filters").addEventListener("input", filter);
// The event comes before the fields are reset.
$("filters").addEventListener("reset", () => setTimeout(filter));
$("filters").addEventListener("submit", (event) => event.preventDefault());

const inputs = new Pages("inputs", makeCard);
const videos = new Pages("videos", makeVideo);
const failures = new Pages("failures", makeFailure);
filter();
videos.show(entries.filter((entry) => entry.kind === "video"));
failures.show(entries.filter((entry) => entry.status === "failed"));
$("videos").hidden = !videos.items.length;
document.querySelector("nav [href='#videos']").hidden = !videos.items.length;
if (videos.items.length === 1) videos.list.querySelector("details").open = true;
