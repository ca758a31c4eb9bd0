// The data of the page, and what all sections are made of. Names chosen by others become text or
// attributes, never markup.

const COLOURS = 7;

const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const percent = (thousandths) => `${(thousandths / 10).toFixed(1)}%`;
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const byText = new Intl.Collator("en", { numeric: true }).compare;
// Systems differ in how they encode an ä.
const normalized = (text) => text.normalize("NFC").toLowerCase();

const { emotions, extra: extraNames, thumbnails, dialect } = take("about");
const entries = take("rows").map(
  ([source, kind, status, found = [], width, height, frames, annotated, thumbnail, error,
    score = 0, video, extra = []], index) => {
    let faces = 0;
    for (let at = 1; at < found.length; at += 3) faces += found[at];
    const picture = index in thumbnails ? `data:image/jpeg;base64,${thumbnails[index]}` : thumbnail;
    return { source, kind, status, found, faces, width, height, frames, annotated, picture, error,
      score, video: video ?? {}, extra, shares: video?.shares ?? sharesOf(found, faces),
      // Frames are not independent: videos count by the seconds in which they show a face.
      weight: kind === "video" ? video?.seconds ?? 0 : faces,
      normalized: normalized([source, ...extra].join("\n")), confidence: 0 };
  });

// Returns the share of the faces with each top emotion, in thousandths; null without any face.
function sharesOf(found, faces) {
  if (!faces) return null;
  const shares = emotions.map(() => 0);
  for (let at = 0; at < found.length; at += 3) shares[found[at]] = (1000 * found[at + 1]) / faces;
  return shares;
}

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
  constructor(id, render) {
    this.root = $(id);
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
