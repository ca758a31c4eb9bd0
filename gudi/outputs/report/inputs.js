// Photos and videos as cards or as a table, filtered and sorted, and what failed.

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
  if (entry.video.bins) card.append(makeTimelineButton(entry));
  return card;
}

function makeTimelineButton(entry) {
  const button = make("button", { type: "button", "aria-label": `Timeline of ${entry.source}` },
    "Timeline");
  button.addEventListener("click", () => openVideo(entry));
  return button;
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
  const order = $("order").value;

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
  sort(matching, order);
  const view = $("view").value;
  for (const [name, pages] of Object.entries(views)) {
    pages.root.hidden = name !== view;
    if (name === view) pages.show(matching);
  }
  for (const head of $("shares").querySelectorAll("thead th")) {
    const isOrder = order.replace("-reverse", "") === head.dataset.order;
    head.ariaSort = isOrder ? (order === "name" ? "ascending" : "descending") : null;
  }
}

// Returns a row of the table: what share of an input's faces, or of a video's time, which emotion
// was on top.
function makeShares(entry) {
  const name = make("bdi", {}, entry.source);
  const cells = emotions.map((_, index) => {
    const share = entry.shares?.[index];
    if (share === undefined) return make("td", {}, "–");
    return make("td", {}, `${(share / 10).toFixed(0)}%`,
      makeSvg("svg", { width: "100%", height: 4, "aria-hidden": "true" },
        makeSvg("rect", { width: `${share / 10}%`, height: 4, class: `e${index % COLOURS}` })));
  });
  return make("tr", {}, make("th", { scope: "row" }, entry.annotated
    ? make("a", { href: entry.annotated, target: "_blank" }, name) : name),
  ...extraNames.map((_, index) => make("td", { class: "text" }, entry.extra[index] ?? "")),
  make("td", {}, number(entry.faces)), ...cells,
  make("td", {}, ...(entry.video.bins ? [makeTimelineButton(entry)] : [])));
}

function makeSharesHead() {
  const columns = [["name", "Name"], ...extraNames.map((name) => ["", name]), ["faces", "Faces"],
    ...emotions.map((name, index) => [`share-${index}`, name])];
  return make("tr", {}, ...columns.map(([order, name]) => {
    if (!order) return make("th", { scope: "col", class: "text" }, make("bdi", {}, name));
    const button = make("button", { type: "button" }, make("bdi", {}, name));
    button.addEventListener("click", () => {
      $("order").value = order === "name" && $("order").value === order ? "name-reverse" : order;
      filter();
    });
    return make("th", { scope: "col", "data-order": order }, button);
  }), make("td"));
}

// Saves the entries that match the filters, in their order, as a csv file (RFC 4180).
function saveFiltered() {
  const head = ["source", "kind", "status", "faces", "frames", "width", "height", "emotion",
    "highest", "score", ...emotions.map((name) => `share_${name}`), "annotated", "error",
    ...extraNames];
  const rows = views[$("view").value].items.map((entry) => {
    const shares = entry.shares ?? emotions.map(() => null);
    const top = entry.shares ? shares.indexOf(Math.max(...shares)) : null;
    const highest = top === null ? null : highestOf(entry, top) / 1000;
    return [entry.source, entry.kind, entry.status, entry.faces, entry.frames, entry.width,
      entry.height, emotions[top], highest, entry.faces ? entry.score : null,
      ...shares.map((share) => share === null ? null : (share / 1000).toFixed(3)),
      entry.annotated && decoded(entry.annotated), entry.error,
      ...extraNames.map((_, index) => entry.extra[index])];
  });
  const quoted = (value) => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const lines = [head, ...rows].map((row) => row.map((cell) => quoted(String(cell ?? ""))).join());
  const url = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  make("a", { href: url, download: "filtered.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// Returns the highest probability of the faces with this top emotion, in thousandths.
function highestOf({ found }, emotion) {
  for (let at = 0; at < found.length; at += 3) if (found[at] === emotion) return found[at + 2];
  return -1;
}

// Returns the path that a URL stands for. Bytes of it that are not UTF-8 stay as they are.
function decoded(url) {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}

// Sorts entries that are in the order of their names. Those without a face stay last.
function sort(matching, by) {
  const rank = ({ confidence }) => (confidence < 0 ? Infinity : confidence);
  const descending = (value) => matching.sort((one, other) => value(other) - value(one));
  if (by === "name-reverse") matching.reverse();
  if (by === "faces") descending(({ faces }) => faces);
  if (by === "lowest") matching.sort((one, other) => rank(one) - rank(other) || 0);
  if (by === "highest") descending(({ confidence }) => confidence);
  if (by.startsWith("share-")) {
    const emotion = Number(by.slice("share-".length));
    // Most photos show one face: of those with the same share, the strongest expression is first.
    descending((entry) => highestOf(entry, emotion));
    descending(({ shares }) => shares?.[emotion] ?? -1);
  }
}

function makeFailure(entry) {
  return make("li", {}, make("p", { class: "name" }, make("bdi", {}, entry.source)),
    make("p", {}, make("bdi", {}, entry.error || "unknown")));
}
