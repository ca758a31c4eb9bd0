// Fills the page, and connects its controls.

// Values of an extra column that can be chosen from a list.
const MOST_CHOICES = 200;

$("emotions").append(...emotions.map((name, index) => make("label", {},
  make("input", { type: "checkbox", value: index }), ...makeEmotionName(index))));
$("order").append(...emotions.map((name, index) => make("option", { value: `share-${index}` },
  `Share of ${name}`)));
for (const [index, name] of extraNames.entries()) {
  $("order").append(make("option", { value: `extra-${index}` }, name),
    make("option", { value: `extra-${index}-reverse` }, `${name}, reversed`));
  const values = [...new Set(entries.map(({ extra }) => extra[index] ?? ""))].filter(Boolean);
  if (values.length > MOST_CHOICES || values.some((text) => text.length > LONG)) continue;
  const options = values.sort(byText).map((text) => make("option", { value: text }, text));
  $("kind").parentElement.before(make("label", {}, make("bdi", {}, name),
    make("select", { "data-extra": index }, make("option", { value: "" }, "All"), ...options)));
  $("group").append(make("option", { value: index }, name));
}
$("group").parentElement.hidden = $("group").length === 1;
$("shares").querySelector("thead").append(makeSharesHead());
$("score").max = entries.reduce((most, { score }) => Math.max(most, score), 0);
$("score").parentElement.hidden = $("score").max === "0";  // no face
$("filters").addEventListener("input", filter);
$("filters").addEventListener("change", filter);
// The event comes before the fields are reset.
$("filters").addEventListener("reset", () => setTimeout(filter));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("save").addEventListener("click", saveFiltered);
addEventListener("beforeprint", openForPrint);

const views = { cards: new Pages("gallery", makeCard), table: new Pages("shares", makeShares) };
const videos = new Pages("video-list", makeVideo);
const failures = new Pages("failure-list", makeFailure);
filter();
videos.show(entries.filter((entry) => entry.kind === "video"));
failures.show(entries.filter((entry) => entry.status === "failed"));
$("videos").hidden = !videos.items.length;
document.querySelector("nav [href='#videos']").hidden = !videos.items.length;
if (videos.items.length === 1) videos.list.querySelector("details").open = true;
