"use strict";
// The table of stems: search, filters, order. Of many rows only some are drawn at a time.
Report.list = (() => {
  const { make, name, nameTrack, showNumber, showTime, showCount } = Report;
  const STEP = 200;
  const NO_NAME = "(no query)"; // of a row of a list whose queries could not be read
  const data = Report.get("data", "stems");
  const find = (id) => document.getElementById(id);
  const stems = data.rows.map(readRow);
  const byId = new Map(stems.map((stem) => [stem.id, stem]));
  const firstTracks = new Map();
  const onTracks = stems.filter(nameTrack);
  onTracks.forEach(({ asset, track }) => firstTracks.has(asset) || firstTracks.set(asset, track));
  const severalTracks = new Set(onTracks.filter(({ asset, track }) =>
    track !== firstTracks.get(asset)).map(({ asset }) => asset));
  const COLUMNS = [
    { key: "doubt", title: "Doubt", down: true, about: "0 to 1: what to hear first" },
    { key: "label", title: "Stem" },
    { key: "score", title: "Score", down: true, about: "of the detector", class: "wide" },
    { key: "loudness", title: "LUFS", down: true, about: "loudness of the stem", class: "wide" },
    { key: "duration", title: "Length", down: true, class: "wide" },
    { key: "verdict", title: "Verdict" },
  ];
  const RANGES = [["doubt", "Doubt", 0.05], ["score", "Score", 0.05], ["loudness", "LUFS", 1]];
  const hasRenditions = stems.some(({ kind }) => kind === "rendition");
  const NOUN = stems.length === 1 ? stems[0].kind
    : hasRenditions ? "stems and renditions" : "stems";
  let order = { key: "doubt", down: true };
  let matching = [];
  let drawn = STEP;

  // Names of files from macOS hold accents as characters of their own.
  function fold(text) {
    return text.normalize("NFC").toLowerCase();
  }

  function readRow(values) {
    const stem = {};
    data.fields.forEach((field, number) => { stem[field] = values[number]; });
    [stem.asset, stem.path, stem.assetKey] = data.assets[stem.asset];
    [stem.queryName, stem.queryText] = data.queries[stem.query];
    stem.queryName ||= NO_NAME;
    stem.label = `${stem.queryName}\u0000${stem.path}`;
    stem.search = fold(`${stem.queryName} ${stem.queryText} ${stem.asset}`);
    return stem;
  }

  function fill(select, all, values) {
    select.append(make("option", { value: "" }, all));
    values.forEach(([value, text]) => select.append(make("option", { value }, text)));
  }

  function fillQueries() {
    const select = find("filter-query");
    const renditions = new Set(stems.filter(({ kind }) => kind === "rendition")
      .map(({ queryName }) => queryName));
    const names = [...new Set(data.queries.map(([query]) => query))].filter(Boolean);
    const [mixes, queries] = [true, false].map((is) =>
      names.filter((query) => renditions.has(query) === is)
        .map((value) => make("option", { value }, value)));
    fill(select, hasRenditions ? "All names" : "All queries", []);
    if (!hasRenditions) select.append(...queries);
    else select.append(make("optgroup", { label: "Queries" }, queries),
      make("optgroup", { label: "Renditions" }, mixes));
  }

  function makeFilters() {
    fillQueries();
    const statuses = [...new Set(stems.map((stem) => stem.status))].sort();
    fill(find("filter-status"), "Any status", statuses.map((status) => [status, status]));
    fill(find("filter-verdict"), "Any verdict",
      [["accept", "accepted"], ["reject", "rejected"], ["none", "not reviewed"]]);
    RANGES.forEach(([key, title, step]) => find("ranges").append(
      make("fieldset", {}, make("legend", {}, title),
        make("input", { type: "number", step, id: `${key}-least`, "aria-label": `${title} from`,
          placeholder: "from" }),
        make("input", { type: "number", step, id: `${key}-most`, "aria-label": `${title} to`,
          placeholder: "to" }))));
    const form = find("filters");
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  function makeHead() {
    COLUMNS.forEach((column) => {
      const button = make("button", { type: "button", class: "sort", title: column.about,
        onclick: () => sortBy(column) }, column.title);
      column.cell = make("th", { scope: "col", class: column.class }, button);
      find("head").append(column.cell);
    });
  }

  function sortBy(column) {
    const same = order.key === column.key;
    order = { key: column.key, down: same ? !order.down : Boolean(column.down) };
    apply();
  }

  function value(stem, key) {
    return key === "verdict" ? Report.review.get(stem.id).verdict || "" : stem[key];
  }

  // What has no value comes last in either order.
  function compare(a, b) {
    const [x, y] = [value(a, order.key), value(b, order.key)];
    const [noX, noY] = [x === null || x === "", y === null || y === ""];
    if (noX || noY) return noX - noY;
    const sign = typeof x === "string" ? x.localeCompare(y) : x - y;
    return order.down ? -sign : sign;
  }

  function readRange(key) {
    const read = (end) => find(`${key}-${end}`).value;
    const [least, most] = [read("least"), read("most")];
    if (least === "" && most === "") return null;
    return [least === "" ? -Infinity : Number(least), most === "" ? Infinity : Number(most)];
  }

  function apply() {
    const words = fold(find("search").value).split(/\s+/).filter(Boolean);
    const [query, status, verdict] =
      ["query", "status", "verdict"].map((key) => find(`filter-${key}`).value);
    const ranges = RANGES.map(([key]) => [key, readRange(key)]).filter(([, range]) => range);
    matching = stems.filter((stem) =>
      words.every((word) => stem.search.includes(word))
      && (query === "" || stem.queryName === query)
      && (status === "" || stem.status === status)
      && (verdict === "" || (value(stem, "verdict") || "none") === verdict)
      && ranges.every(([key, [least, most]]) =>
        stem[key] !== null && stem[key] >= least && stem[key] <= most));
    matching.sort(compare);
    drawn = STEP;
    draw();
  }

  function draw() {
    COLUMNS.forEach(({ key, cell }) => cell.setAttribute("aria-sort",
      key !== order.key ? "none" : order.down ? "descending" : "ascending"));
    find("body").replaceChildren(...matching.slice(0, drawn).map(makeRow));
    find("table").hidden = !matching.length;
    find("empty").hidden = Boolean(matching.length);
    if (!stems.length) find("empty").textContent = "This output has no stems yet.";
    find("more").hidden = drawn >= matching.length;
    find("shown").textContent = matching.length === stems.length
      ? `${showCount(stems.length)} ${NOUN}`
      : `${showCount(matching.length)} of ${showCount(stems.length)} ${NOUN}`;
    mark(Report.panel.shown);
  }

  function makeRow(stem) {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", stem.doubt ?? 0);
    const { verdict, note } = Report.review.get(stem.id);
    const signs = { accept: "✓ accept", reject: "✗ reject" };
    const flags = [[stem.kind, stem.kind === "rendition"], [stem.status, stem.status !== "ok"]]
      .filter(([, is]) => is).map(([text]) => make("span", { class: `tag ${text}` }, text));
    return make("tr", { "data-id": stem.id, onclick: () => { location.hash = `stem=${stem.id}`; } },
      make("td", { class: "doubt" },
        stem.doubt === null ? "–" : [make("span", { class: "number" }, showNumber(stem.doubt)), bar]),
      make("td", { class: "stem" },
        make("a", { href: `#stem=${stem.id}` }, name(stem.queryName)), flags,
        name(stem.path, { class: "path muted", title: stem.asset }),
        severalTracks.has(stem.asset)
          ? make("span", { class: "track-name muted" }, nameTrack(stem)) : null),
      make("td", { class: "number wide" }, showNumber(stem.score)),
      make("td", { class: "number wide" }, showNumber(stem.loudness, 1)),
      make("td", { class: "number wide" }, showTime(stem.duration)),
      make("td", { class: `mark ${verdict || ""}`, title: note || null },
        signs[verdict] || (note ? "note" : "")));
  }

  function replaceRow(old, row) {
    const hasFocus = old.contains(document.activeElement);
    old.replaceWith(row);
    if (hasFocus) row.querySelector("a").focus({ preventScroll: true });
  }

  function mark(stem) {
    find("body").querySelectorAll("tr").forEach((row) => {
      if (stem && row.dataset.id === stem.id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
  }

  function open(id) {
    const stem = byId.get(id);
    if (!stem) return false;
    Report.panel.open(stem, stems.filter((each) => each.asset === stem.asset), step);
    const at = matching.indexOf(stem);
    if (at >= drawn) {
      drawn = STEP * Math.ceil((at + 1) / STEP);
      draw();
    } else mark(stem);
    const row = find("body").querySelector("tr[aria-current]");
    if (row) row.scrollIntoView({ block: "nearest" });
    return true;
  }

  function step(by) {
    const at = matching.indexOf(Report.panel.shown);
    const next = matching[at < 0 ? 0 : at + by];
    if (next) location.hash = `stem=${next.id}`;
  }

  find("more").addEventListener("click", () => { drawn += STEP; draw(); });
  Report.review.onChange((id) => {
    const row = id && find("body").querySelector(`tr[data-id="${CSS.escape(id)}"]`);
    if (row) replaceRow(row, makeRow(byId.get(id)));
    else if (!id) draw();
    mark(Report.panel.shown);
  });
  makeFilters();
  makeHead();
  return { apply, open, step, first: () => matching[0] && matching[0].id };
})();
