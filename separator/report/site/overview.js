"use strict";
// The overview: totals, what was found for each query, the quality columns, failures, the run.
Report.showOverview = (root) => {
  const { make, name, showCount, showLength, showNumber } = Report;
  const data = Report.get("data", "overview");

  function count(kind, status) {
    return data.rows.filter(([k, s]) => k === kind && s === status)
      .reduce((sum, [, , number]) => sum + number, 0);
  }

  function makeTiles() {
    const tiles = [
      ["Assets", showCount(data.assets),
        data.failed_assets ? `${showCount(data.failed_assets)} with failures` : "none failed"],
      ["Audio", showLength(data.audio_s), showCount(data.tracks, "track")],
      ["Stems", showCount(count("stem", "ok")), showCount(data.num_queries, "query")],
      ["Absent", showCount(count("stem", "absent")), "the query sounds nowhere"],
      ["Failed", showCount(count("stem", "failed") + count("rendition", "failed")), "rows"],
    ];
    const mixes = count("rendition", "ok");
    if (mixes) tiles.splice(3, 0, ["Renditions", showCount(mixes), "new mixes"]);
    return make("dl", { class: "tiles" }, tiles.map(([title, number, more]) => make("div", {},
      make("dt", {}, title), make("dd", {}, number), make("dd", { class: "muted" }, more))));
  }

  // The queries, or the renditions: `number` of them, of which some are listed.
  function makeQueries(kind, number, title, single, made) {
    const queries = data.queries.filter((query) => query.kind === kind);
    if (!number && kind !== "stem") return null;
    const most = Math.max(...queries.map((query) => total(query)), 1);
    const rows = queries.map((query) => {
      const parts = ["ok", "absent", "failed"].map((status) => {
        const part = make("span", { class: `part ${status}` });
        part.style.width = `${(100 * (query.rows[status] || 0)) / most}%`;
        return part;
      });
      const asked = query.text && query.text !== query.name
        ? name(query.text, { class: "path muted" }) : null;
      return make("tr", {}, make("th", { scope: "row" }, name(query.name), asked),
        make("td", { class: "number" }, showCount(query.rows.ok || 0)),
        make("td", { class: "number" }, showCount(query.rows.absent || 0)),
        make("td", { class: "number" }, showCount(query.rows.failed || 0)),
        make("td", { class: "number wide" }, showLength(query.seconds)),
        make("td", { class: "number wide" },
          query.share === null ? "–" : `${showNumber(100 * query.share, 0)} %`),
        make("td", { class: "parts wide", "aria-hidden": "true" }, parts));
    });
    const heads = [single, made, "Absent", "Failed", "Length", "Present"];
    const wide = { Length: "number wide", Present: "number wide" };
    const head = heads.map((text) => make("th",
      { scope: "col", class: text === single ? null : wide[text] || "number" }, text));
    head.push(make("td", { class: "wide" }));
    const more = number > queries.length ? make("p", { class: "muted" },
      `and ${showCount(number - queries.length)} more ${title.toLowerCase()}`) : null;
    return section(title, make("table", { class: "queries" },
      make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)), more);
  }

  function total(query) {
    return Object.values(query.rows).reduce((sum, number) => sum + number, 0);
  }

  function makeHistogram({ column, low, high, unit, counts }) {
    const most = Math.max(...counts, 1);
    const sum = counts.reduce((a, b) => a + b, 0);
    const width = (high - low) / counts.length;
    const bars = counts.map((number, at) => {
      const from = low + at * width;
      const bar = make("span", {
        title: `${showNumber(from)} to ${showNumber(from + width)}: ${showCount(number, "stem")}`,
      });
      bar.style.height = `${(100 * number) / most}%`;
      return bar;
    });
    let seen = 0;
    const middle = counts.findIndex((number) => (seen += number) >= sum / 2);
    const median = showNumber(low + (middle + 0.5) * width);
    return make("figure", { class: "histogram" },
      make("figcaption", {}, make("b", {}, column),
        make("span", { class: "muted" }, ` median about ${median}${unit ? ` ${unit}` : ""}`)),
      make("div", { class: "bars", role: "img",
        "aria-label": `Histogram of ${column}: ${showCount(sum, "stem")}, median ${median}` }, bars),
      make("div", { class: "ends muted" }, make("span", {}, String(low)),
        make("span", {}, String(high))));
  }

  function makeFailures() {
    const items = data.failures.map(({ code, rows, examples }) => make("details", { open: true },
      make("summary", {}, make("code", {}, code), ` ${showCount(rows, "row")}`),
      make("ul", {}, examples.map((each) => make("li", {}, name(each.asset, { class: "path" }),
        make("p", { class: "muted" }, `${each.stage}: `, name(each.detail)))))));
    return items.length ? section("Failures", items) : section("Failures",
      make("p", { class: "muted" }, "Nothing failed."));
  }

  function makeRun() {
    const run = data.run;
    if (!run) return null;
    const versions = Object.entries(run.versions || {}).map(([key, text]) => `${key} ${text}`);
    const model = (run.config && run.config.model) || {};
    const facts = [
      ["Run", `${run.run_id}, ${run.state}`],
      ["Written", new Date(run.written_at).toISOString().replace("T", " ").slice(0, 19) + " UTC"],
      ["Model", `${model.name || "–"}, ${run.precision || model.precision}`],
      ["Machine", run.machine], ["Versions", versions.join(", ")], ["Code", run.commit],
      ["Output", data.output],
    ].filter(([, text]) => text);
    return section("The newest run", make("dl", { class: "run" }, facts.map(([title, text]) =>
      make("div", {}, make("dt", {}, title), make("dd", {}, name(String(text)))))),
    make("details", {}, make("summary", {}, "All settings"),
      make("pre", { tabindex: 0 }, JSON.stringify(run.config, null, 1))));
  }

  function section(title, ...children) {
    return make("section", {}, make("h2", {}, title), ...children);
  }

  root.replaceChildren(...[makeTiles(),
    makeQueries("stem", data.num_queries, "Queries", "Query", "Stems"),
    makeQueries("rendition", data.num_renditions, "Renditions", "Rendition", "Mixes"),
    section("Quality of the stems",
      make("div", { class: "histograms" }, data.histograms.map(makeHistogram))),
    makeFailures(), makeRun()].filter(Boolean));
};
