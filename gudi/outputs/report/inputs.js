// Photos and videos as cards or as a table, filtered and sorted, and what failed.

// Characters of a text from a list that are always shown.
const LONG = 40;

function makeCard(entry) {
  const start = entry.source.lastIndexOf("/") + 1;
  const card = make("li", { class: "card" }, makePicture(entry),
    make("p", { class: "name", title: entry.source }, make("bdi", {}, entry.source.slice(start))));
  if (start) {
    card.append(make("p", { class: "folder", title: entry.source },
      make("bdi", {}, entry.source.slice(0, start))));
  }
  if (entry.extra.some(Boolean)) card.append(makeExtra("p", entry));
  if (entry.found.length) card.append(makeEmotions(entry));
  card.append(make("p", { class: "details" }, describe(entry)));
  if (entry.video.bins) card.append(makeTimelineButton(entry));
  return card;
}

// Returns what a list says of an input, on one line; what is long is cut, and shown by pointing at it.
function makeExtra(tag, { extra }) {
  const values = extra.map((text, index) => [text, extraNames[index]]).filter(([text]) => text);
  const short = values.map(([text, name]) => /^[\d.,]+$/.test(text) ? `${name} ${text}` : cut(text));
  return make(tag, { class: "details", title: values.map(([text, name]) => `${name}: ${text}`).join("\n") },
    make("bdi", {}, short.join(" · ")));
}

function cut(text) {
  return text.length > LONG ? `${text.slice(0, LONG - 1)}…` : text;
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
  const add = (emotion, count, text) => list.append(make("li", {}, ...makeEmotionName(emotion), count,
    make("span", { class: "percent" }, text)));
  if (entry.video.shares) {
    entry.shares.map((share, emotion) => [share, emotion]).filter(([share]) => share >= 5)
      .sort(([one], [other]) => other - one)
      .forEach(([share, emotion]) => add(emotion, "", `${(share / 10).toFixed(0)}% of time`));
    return list;
  }
  for (let at = 0; at < entry.found.length; at += 3) {
    const [emotion, count, highest] = entry.found.slice(at, at + 3);
    if (count > 1) add(emotion, ` ×${number(count)}`, `up to ${percent(highest)}`);
    else add(emotion, "", percent(highest));
  }
  return list;
}

// Returns of how much a row of the table gives the shares.
function describeAmount({ kind, weight, faces }) {
  return kind === "video" && weight ? lasting(weight) : number(faces);
}

function describe(entry) {
  const details = [];
  if (entry.width) details.push(`${entry.width} × ${entry.height}`);
  if (entry.frames) details.push(plural(entry.frames, "frame"));
  if (entry.kind === "video" && entry.weight) details.push(`${lasting(entry.weight)} with a face`);
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
  const group = $("group").value;
  const wanted = [...$("filters").querySelectorAll("[data-extra]")].filter(({ value }) => value);

  matching = entries.filter((entry) => {
    entry.confidence = -1;
    for (let at = 0; at < entry.found.length; at += 3) {
      if (!selected.size || selected.has(entry.found[at])) {
        entry.confidence = Math.max(entry.confidence, entry.found[at + 2]);
      }
    }
    return (!kind || entry.kind === kind) && (!status || entry.status === status)
      && (!(selected.size || threshold) || entry.confidence >= threshold)
      && entry.score >= least
      && wanted.every(({ value, dataset }) => entry.extra[dataset.extra] === value)
      && entry.normalized.includes(name);
  });
  sort(matching, order);
  const view = group ? "table" : $("view").value;
  views.table.root.dataset.noun = group ? "groups" : "inputs";
  views.table.root.classList.toggle("grouped", group);
  const items = group ? groupsOf(matching, Number(group), order) : matching;
  for (const [name, pages] of Object.entries(views)) {
    pages.root.hidden = name !== view;
    if (name === view) pages.show(items);
  }
  for (const head of $("shares").querySelectorAll("thead th")) {
    const isOrder = order.replace("-reverse", "") === head.dataset.order;
    head.ariaSort = isOrder ? (isText(order) ? "ascending" : "descending") : null;
  }
}

// The inputs that match the filters, in their order.
let matching = [];

const isText = (order) => order === "name" || /^extra-\d+$/.test(order);

// Returns an entry for each value of an extra column, and each kind of input: shares of the faces in
// photos, and of the time in videos.
function groupsOf(members, column, order) {
  const groups = Map.groupBy(members, ({ kind, extra }) => JSON.stringify([extra[column] ?? "", kind]));
  const found = [...groups].map(([key, inGroup]) => {
    const [value, kind] = JSON.parse(key);
    const weight = inGroup.reduce((sum, each) => sum + each.weight, 0);
    const faces = inGroup.reduce((sum, each) => sum + each.faces, 0);
    const shares = weight ? emotions.map((_, index) => inGroup.reduce(
      (sum, each) => sum + each.weight * (each.shares?.[index] ?? 0), 0) / weight) : null;
    return { value, kind, members: inGroup.length, weight, faces, shares, found: [], extra: [] };
  });
  found.sort((one, other) => byText(one.value, other.value) || byText(one.kind, other.kind));
  if (/^(share-|faces)/.test(order)) sort(found, order);
  return found;
}

// Returns a row of the table: what share of an input's faces, or of a video's time, which emotion
// was on top.
function makeShares(entry) {
  const cells = emotions.map((_, index) => {
    const share = entry.shares?.[index];
    if (share === undefined) return make("td", {}, "–");
    return make("td", {}, `${(share / 10).toFixed(0)}%`,
      makeSvg("svg", { width: "100%", height: 4, "aria-hidden": "true" },
        makeSvg("rect", { width: `${share / 10}%`, height: 4, class: `e${index % COLOURS}` })));
  });
  const amount = make("td", {}, describeAmount(entry));
  if (entry.members) {
    const noun = { image: "photo", video: "video" }[entry.kind] ?? "input";
    return make("tr", {}, make("th", { scope: "row" },
      make("bdi", {}, entry.value || "(empty)"), " ", make("small", {}, plural(entry.members, noun))),
    amount, ...cells, make("td"));
  }
  // Names without blanks may be cut where their parts end.
  const parts = entry.source.split(/(?<=[/_.-])/).flatMap((part) => [part, make("wbr")]);
  const name = make("bdi", {}, ...parts);
  return make("tr", {}, make("th", { scope: "row" }, entry.annotated
    ? make("a", { href: entry.annotated, target: "_blank" }, name) : name),
  ...extraNames.map((_, index) => makeText(entry.extra[index] ?? "")), amount, ...cells,
  make("td", {}, ...(entry.video.bins ? [makeTimelineButton(entry)] : [])));
}

// Returns a cell with a text from a list; what is long is opened by a click.
function makeText(text) {
  const cell = make("td", { class: "text" });
  if (text.length > LONG) {
    cell.append(make("details", { class: "long" }, make("summary", {}, make("bdi", {}, cut(text))),
      make("bdi", {}, text)));
  } else cell.append(make("bdi", {}, text));
  return cell;
}

function makeSharesHead() {
  const columns = [["name", "Name"], ...extraNames.map((name, index) => [`extra-${index}`, name]),
    ["faces", entries.some(({ kind }) => kind === "video") ? "Faces or time" : "Faces"],
    ...emotions.map((name, index) => [`share-${index}`, name])];
  return make("tr", {}, ...columns.map(([order, name]) => {
    const button = make("button", { type: "button" }, make("bdi", {}, name));
    button.addEventListener("click", () => {
      const reverse = isText(order) && $("order").value === order;
      $("order").value = reverse ? `${order}-reverse` : order;
      filter();
    });
    return make("th", { scope: "col", "data-order": order, ...(isText(order) && { class: "text" }) },
      button);
  }), make("td"));
}

// Saves the entries that match the filters, in their order, as a csv file (RFC 4180).
function saveFiltered() {
  const head = ["source", "kind", "status", "faces", "frames", "width", "height", "emotion",
    "highest", "score", ...emotions.map((name) => `share_${name}`), "annotated", "error",
    ...extraNames];
  const rows = matching.map((entry) => {
    const shares = entry.shares ?? emotions.map(() => null);
    const top = entry.shares ? shares.indexOf(Math.max(...shares)) : null;
    const highest = top === null ? null : highestOf(entry, top) / 1000;
    return [entry.source, entry.kind, entry.status, entry.faces, entry.frames, entry.width,
      entry.height, emotions[top], highest, entry.faces ? entry.score : null,
      ...shares.map((share) => share === null ? null : Math.round(share) / 1000),
      entry.annotated && decoded(entry.annotated), entry.error,
      ...extraNames.map((_, index) => entry.extra[index])];
  });
  const european = dialect === "excel-eu";
  const separator = european ? ";" : ",";
  const quoted = (value) => /[",;\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const written = (cell) => typeof cell === "number" && european ? `${cell}`.replace(".", ",")
    : quoted(String(cell ?? ""));
  const lines = [head, ...rows].map((row) => row.map(written).join(separator));
  const mark = dialect?.startsWith("excel") ? "\ufeff" : "";
  const url = URL.createObjectURL(new Blob([`${mark}${lines.join("\n")}\n`], { type: "text/csv" }));
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
  if (by.startsWith("extra-")) {
    const text = ({ extra }) => extra[by.split("-")[1]] ?? "";
    matching.sort((one, other) => byText(text(one), text(other)));
  }
  if (by.endsWith("-reverse")) matching.reverse();
  if (by === "faces") descending(({ weight }) => weight);
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
