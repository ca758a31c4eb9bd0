// Videos over time: charts, tracks, the strongest moments, and the annotated video.

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
      make("small", {}, describe(entry) || "no frames were read"), " ", makeExtra("small", entry)));
  // Draw the timeline and load the video only when the item is opened.
  item.draw = () => {
    if (item.children.length === 1) item.append(...makeTimeline(entry));
  };
  item.addEventListener("toggle", item.draw);
  return make("li", {}, item);
}

// Paper shows what is open, so everything on the page of the list is opened for it.
function openForPrint() {
  for (const text of document.querySelectorAll("details.long:not([open])")) {
    text.open = true;
    addEventListener("afterprint", () => { text.open = false; }, { once: true });
  }
  for (const item of videos.list.querySelectorAll("details.video:not([open])")) {
    item.draw();
    item.open = true;
    addEventListener("afterprint", () => { item.open = false; }, { once: true });
  }
}

function makeTimeline(entry) {
  const { bins, width, starts, peaks = [] } = entry.video;
  const player = makePlayer(entry);
  if (!bins) {
    const message = entry.error
      || (entry.faces ? "Its faces are in faces.csv." : "No face was found.");
    return [make("p", {}, message), ...player.elements, ...makePeaks(peaks)];
  }
  const { plot, cursors } = makePlot(entry.video);
  const slider = make("input", { type: "range", min: 0, max: bins.length - 1, step: 1, value: 0,
    "aria-label": `Time in ${entry.source}` });
  const reading = make("p", { class: "reading" });

  const show = (bin) => {
    for (const cursor of cursors) {
      cursor.setAttribute("x1", bin + 0.5);
      cursor.setAttribute("x2", bin + 0.5);
    }
    const text = `${clock(bin * width, width)}: ${describeBin(bins[bin])}`;
    reading.textContent = text;
    slider.ariaValueText = text;
  };
  const seek = (seconds) => {
    slider.value = Math.floor(seconds / width);
    show(slider.valueAsNumber);
    player.seek(seconds);
  };
  const binAt = (event) => {
    const { left, width: across } = plot.querySelector("svg.strip").getBoundingClientRect();
    return Math.min(bins.length - 1,
      Math.max(0, Math.floor(((event.clientX - left) / across) * bins.length)));
  };
  const overStrip = (event) => event.target.closest(".strip");
  plot.addEventListener("pointermove", (event) => overStrip(event) && show(binAt(event)));
  plot.addEventListener("pointerleave", () => show(slider.valueAsNumber));
  plot.addEventListener("click", (event) => overStrip(event) && seek(starts[binAt(event)]));
  slider.addEventListener("input", () => seek(starts[slider.valueAsNumber]));
  player.follow((time) => {
    slider.value = Math.floor(time / width);
    show(slider.valueAsNumber);
  });
  plot.append(slider, make("div", { class: "clock", "aria-hidden": "true" },
    make("span", {}, "0:00"), make("span", {}, clock(bins.length * width, width))));
  show(0);
  return [...player.elements, ...makePeaks(peaks, seek), make("p", { class: "hint" },
    `Probability of each emotion: the line is the mean of the faces in ${interval(width)}, the band `
    + "one standard deviation to either side. On the right: the mean of the whole video.",
  ...(player.elements.length
    ? [make("span", { class: "screen" }, " A click shows the video at that time.")] : [])),
  plot, reading, makeTable(width, bins)];
}

// Returns a chart per emotion, a strip per track, and the line in each that marks a time.
function makePlot({ bins, width, means, tracks = [], left_out: leftOut }) {
  const plot = make("div", { class: "plot" });
  const cursors = [];
  const addStrip = (height, attributes, ...shapes) => {
    const cursor = makeSvg("line", { y1: 0, y2: height });
    cursors.push(cursor);
    plot.append(makeSvg("svg", { viewBox: `0 0 ${bins.length} ${height}`, class: "strip",
      preserveAspectRatio: "none", ...attributes }, ...shapes, cursor));
  };
  emotions.forEach((name, index) => {
    const colour = `e${index % COLOURS}`;
    const { line, band } = pathsOf(bins, 1 + index, 1 + emotions.length + index);
    plot.append(make("span", { class: "label" }, ...makeEmotionName(index)));
    addStrip(100, { "aria-hidden": "true" },
      makeSvg("path", { d: band, class: `band ${colour}` }),
      makeSvg("path", { d: line, class: `line ${colour}` }));
    plot.append(make("span", { class: "mean" }, `${means[index]}%`));
  });
  if (tracks.length) {
    plot.append(make("p", { class: "hint across" }, "The emotion on top of each face that was "
      + "followed, smoothed. On the right: for how long it is seen."
      + (leftOut ? ` ${plural(leftOut, "other track")} with fewer: see tracks.csv.` : "")));
  }
  for (const [track, seconds, strip] of tracks) {
    const runs = runsOf(strip);
    plot.append(make("span", { class: "label" }, `Track ${track}`));
    addStrip(10, { role: "img", "aria-label": `Track ${track}: ${describeRuns(runs, width)}` },
      ...runs.map(({ start, end, emotion }) => makeSvg("rect",
        { x: start, width: end - start, height: 10, class: `e${emotion % COLOURS}` })));
    plot.lastChild.classList.add("track");
    plot.append(make("span", { class: "mean" }, seconds === null ? "" : lasting(seconds)));
  }
  return { plot, cursors };
}

// Returns what stands together in a track's string: emotion, first bin, and the bin after the last.
function runsOf(strip) {
  const runs = [];
  for (let at = 0; at < strip.length; at += 1) {
    const emotion = strip.charCodeAt(at) - "A".charCodeAt(0);
    const last = runs.at(-1);
    if (strip[at] === " ") continue;
    if (last?.end === at && last.emotion === emotion) last.end += 1;
    else runs.push({ start: at, end: at + 1, emotion });
  }
  return runs;
}

function describeRuns(runs, width) {
  const lengths = emotions.map(() => 0);
  for (const { start, end, emotion } of runs) lengths[emotion] += end - start;
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const named = emotions.map((name, index) => [lengths[index] / total, name])
    .filter(([share]) => share > 0).sort(([one], [other]) => other - one)
    .map(([share, name]) => `${name} ${(100 * share).toFixed(0)}%`);
  return `${clock(runs[0].start * width, width)} to ${clock(runs.at(-1).end * width, width)}, `
    + named.join(", ");
}

// Returns the frames that show each emotion most strongly. With `seek` they are buttons.
function makePeaks(peaks, seek) {
  if (!peaks.length) return [];
  const items = peaks.map(([emotion, probability, time, picture]) => {
    const at = time === null ? "" : ` at ${clock(time, 0.1)}`;
    const content = [make("img", { src: picture, alt: "", loading: "lazy" }),
      make("span", { class: "label" }, ...makeEmotionName(emotion),
        `${(probability / 10).toFixed(0)}%`),
      make("small", {}, at.trim())];
    content[0].addEventListener("error", () => content[0].remove());
    if (!seek) return make("li", {}, ...content);
    const button = make("button", { type: "button",
      "aria-label": `Strongest ${emotions[emotion]}, ${percent(probability)}${at}` }, ...content);
    button.addEventListener("click", () => seek(time));
    return make("li", {}, button);
  });
  return [make("ul", { class: "peaks", "aria-label": "Strongest moments" }, ...items)];
}

// The annotated video and a link to it, for browsers that cannot play it.
function makePlayer(entry) {
  if (!entry.annotated) return { elements: [], seek() {}, follow() {} };
  const link = make("a", { href: entry.annotated, target: "_blank" }, "Open the annotated video");
  const player = make("video", { controls: "", preload: "metadata", src: entry.annotated,
    ...(entry.picture && { poster: entry.picture }), "aria-label": `Annotated ${entry.source}` });
  player.addEventListener("error", () => player.remove());
  if (entry.video.subtitles) addSubtitles(player, entry.video.subtitles);
  return {
    elements: [player, make("p", {}, link)],
    seek(time) {
      player.currentTime = time;
      player.scrollIntoView({ block: "nearest" });
      link.href = `${entry.annotated}#t=${time}`;
    },
    follow(show) {
      player.addEventListener("timeupdate", () => show(player.currentTime));
    },
  };
}

// Browsers load no subtitles from a file beside a page that is itself a file.
function addSubtitles(player, text) {
  const track = player.addTextTrack("subtitles", "Emotions", "en");
  for (const [, start, end, lines] of text.matchAll(/^([\d:.]+) --> ([\d:.]+)\n((?:.+\n)+)/gm)) {
    track.addCue(new VTTCue(secondsOf(start), secondsOf(end), lines.trimEnd()));
  }
  track.mode = "showing";
}

// Returns h:mm:ss in seconds.
function secondsOf(text) {
  return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

// Returns the paths of the means in one column of the bins and of the band that the deviations in
// another one make, with gaps at empty bins.
function pathsOf(bins, mean, deviation) {
  let [line, band] = ["", ""];
  for (let start = 0; start < bins.length; start += 1) {
    if (!bins[start]) continue;
    let end = start;
    while (bins[end + 1]) end += 1;
    const run = bins.slice(start, end + 1);
    // A point in the middle of each bin; the first and the last one reach to their edges.
    const points = (value) => [[start, value(run[0])],
      ...run.map((bin, at) => [start + at + 0.5, value(bin)]), [end + 1, value(run.at(-1))]];
    const join = (list) => list.map(([x, value]) => `${x} ${100 - value}`).join("L");
    const upper = points((bin) => Math.min(100, bin[mean] + bin[deviation]));
    const lower = points((bin) => Math.max(0, bin[mean] - bin[deviation]));
    line += `M${join(points((bin) => bin[mean]))}`;
    band += `M${join([...upper, ...lower.reverse()])}z`;
    start = end;
  }
  return { line, band };
}

function describeBin(bin) {
  if (!bin) return "no face";
  const [count, ...percentages] = bin;
  const named = emotions.map((name, index) => [percentages[index], name])
    .sort((one, other) => other[0] - one[0]);
  return named.slice(0, 3).map(([value, name]) => `${name} ${value}%`).join(", ")
    + ` (${plural(count, "face")})`;
}

// Returns in words how long `width` seconds are.
function interval(width) {
  return width < 1 ? `${number(Math.round(1000 * width))} ms` : `${number(width)} s`;
}

// Returns in words for how many seconds something lasts.
function lasting(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds, 1);
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
      ...(bin || [0]).slice(0, 1 + emotions.length).map((value, column) => make("td", {}, column ? `${value}%` : number(value)))));
    // It may be wider than the page. Keyboard users must be able to scroll it.
    table.append(make("div", { class: "wide", tabindex: 0, role: "region",
      "aria-label": "Timeline as a table" },
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows))));
  }, { once: true });
  return table;
}
