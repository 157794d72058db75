"use strict";
// Show one stem: what it is, its sounds, the verdict, its columns and its asset's other stems.
Report.panel = (() => {
  const { make, name, nameTrack, showTime, showNumber } = Report;
  const root = document.getElementById("panel");
  const overview = Report.get("data", "overview");
  let player = null;
  let shown = null;

  function close() {
    if (player) player.close();
    player = null;
    shown = null;
    root.replaceChildren();
    document.body.classList.remove("has-panel");
  }

  // `stem`: as list.js makes it; `siblings`: the stems of the same asset.
  function open(stem, siblings, step) {
    if (player) player.close();
    player = null;
    shown = stem;
    const sound = make("div", { class: "sound" });
    const files = make("div", { class: "files" });
    root.replaceChildren(
      makeHead(stem, step), makeFacts(stem), sound, makeReview(stem), files,
      makeSiblings(stem, siblings));
    showReview();
    root.scrollTop = 0;
    document.body.classList.add("has-panel");
    showSound(stem, sound);
    showFiles(stem, files);
  }

  function makeHead(stem, step) {
    const known = stem.duration === null ? "" : showTime(stem.duration, 1);
    const where = [nameTrack(stem), known].filter(Boolean).map((text) => `, ${text}`);
    return make("header", { class: "panel-head" },
      make("div", { class: "steps" },
        make("a", { href: "#stems", class: "button back" }, "‹ All stems"),
        make("button", { type: "button", onclick: () => step(-1), title: "k" }, "‹ Previous"),
        make("button", { type: "button", onclick: () => step(1), title: "j" }, "Next ›")),
      make("h2", {}, name(stem.queryName),
        stem.kind === "rendition" ? make("span", { class: "tag" }, "rendition") : null),
      stem.queryText && stem.queryText !== stem.queryName
        ? make("p", { class: "asked" }, name(stem.queryText)) : null,
      make("p", { class: "where" }, name(stem.path, { title: stem.asset }),
        make("span", { class: "muted" }, where)));
  }

  function makeFacts(stem) {
    const facts = [
      ["Doubt", showNumber(stem.doubt)], ["Score", showNumber(stem.score)],
      ["Present", stem.share === null ? "–" : `${Math.round(100 * stem.share)} %`],
      ["Loudness", stem.loudness === null ? "–" : `${showNumber(stem.loudness, 1)} LUFS`],
      ["Energy", showNumber(stem.energy, 3)], ["Similarity", showNumber(stem.similarity)],
    ];
    const list = make("dl", { class: "facts" }, facts.map(([title, text]) =>
      make("div", {}, make("dt", {}, title), make("dd", {}, text))));
    const reasons = make("ul", { class: "reasons" },
      stem.reasons.map((reason) => make("li", {}, reason)));
    return make("div", {}, list, stem.reasons.length ? reasons : null);
  }

  async function showSound(stem, place) {
    if (stem.status !== "ok" || !stem.preview) {
      const why = { absent: "The query sounds nowhere in this track, so no stem was made." };
      const text = why[stem.status] || stem.error || "There is no preview.";
      place.append(make("p", { class: "note" }, name(text)));
      return;
    }
    try {
      const key = stem.preview.split("/").pop();
      const preview = await Report.load("preview", key, `previews/${stem.preview}.js`);
      if (shown !== stem) return;
      player = Report.makePlayer(preview, stem.spans);
      place.append(player.element);
      const [start, stop] = preview.window;
      if (stop - start < preview.duration_s - 0.01) place.append(makeTrack(preview, stem));
      if (preview.trouble)
        place.append(make("p", { class: "note" }, "Only the stem can be played: ",
          name(preview.trouble)));
    } catch (error) {
      place.append(make("p", { class: "note" }, error.message));
    }
  }

  // The whole track, with the stretch that the preview plays.
  function makeTrack(preview, stem) {
    const canvas = make("canvas", { class: "wave", "aria-hidden": "true" });
    const [start, stop] = preview.window;
    const box = make("span", { class: "window" });
    box.style.left = `${(100 * start) / preview.duration_s}%`;
    box.style.width = `${(100 * (stop - start)) / preview.duration_s}%`;
    const text = `The preview plays ${showTime(start, 1)} to ${showTime(stop, 1)} of`
      + ` ${showTime(preview.duration_s, 1)}`;
    const color = getComputedStyle(document.documentElement).getPropertyValue("--stem");
    new ResizeObserver(() => Report.drawWave(canvas, preview.track, color)).observe(canvas);
    return make("figure", { class: "track" },
      Report.makeTimeline(stem.spans, 0, preview.duration_s),
      make("div", { class: "whole" }, canvas, box), make("figcaption", { class: "muted" }, text));
  }

  // What has no sound gets no verdict; one that it has all the same can be taken back.
  function makeReview(stem) {
    const isJudged = stem.status === "ok" || Report.review.get(stem.id).verdict;
    const choices = isJudged ? [["accept", "Accept", "a"], ["reject", "Reject", "r"]] : [];
    const buttons = choices.map(
      ([verdict, title, key]) => make("button", {
        type: "button", class: `verdict ${verdict}`, "data-verdict": verdict,
        onclick: () => judge(verdict),
      }, title, make("kbd", {}, key)));
    const note = make("textarea", {
      id: "note", class: "note-input", placeholder: "Note", "aria-label": "Note",
      rows: 1, maxlength: 2000, autocomplete: "off",
    });
    note.addEventListener("input", () => Report.review.set(stem.id, { note: note.value.trim() }));
    return make("div", { class: "judge", role: "group", "aria-label": "Verdict" }, buttons, note);
  }

  // What stands, whoever has changed it: a button here, a key, a file, another tab.
  function showReview() {
    if (!shown) return;
    const { verdict, note } = Report.review.get(shown.id);
    root.querySelectorAll("[data-verdict]").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict)));
    const input = root.querySelector("#note");
    if (input !== document.activeElement) input.value = note;
  }

  // The same verdict again takes it back.
  function judge(verdict) {
    if (!shown || !root.querySelector(`[data-verdict=${verdict}]`)) return;
    const now = Report.review.get(shown.id).verdict;
    Report.review.set(shown.id, { verdict: now === verdict ? "" : verdict });
  }

  async function showFiles(stem, place) {
    try {
      const asset = await Report.load("data", stem.assetKey, `data/${stem.assetKey}.js`);
      const row = asset.rows[stem.id];
      if (shown !== stem) return;
      if (!row) throw new Error(`This stem's columns are not there. ${Report.OUTDATED}`);
      if (row.links.remux) place.append(makeRemux(row.links.remux));
      const titles = { stem: stem.kind === "rendition" ? "Whole mix" : "Whole stem",
        residual: "Whole residual", remux: "Remuxed file" };
      const links = Object.entries(row.links).map(([kind, link]) =>
        make("a", { href: link, target: "_blank", rel: "noopener" }, titles[kind]));
      if (links.length) place.append(make("p", { class: "links" }, links));
      const rows = Object.entries(row.columns).map(([column, value]) =>
        make("tr", {}, make("th", { scope: "row", title: overview.columns[column] }, column),
          make("td", {}, name(typeof value === "object" ? JSON.stringify(value) : String(value)))));
      place.append(make("details", { class: "columns" }, make("summary", {}, "All columns"),
        make("table", {}, make("tbody", {}, rows))));
    } catch (error) {
      place.append(make("p", { class: "note" }, error.message));
    }
  }

  // A file without a picture turns out to be one when it is loaded.
  function makeRemux(link) {
    const figure = make("figure", { class: "remux" });
    function show(tag, about, properties = {}) {
      figure.replaceChildren(
        make(tag, { src: link, controls: true, preload: "metadata", onerror, ...properties }),
        make("figcaption", { class: "muted" }, about));
    }
    function onerror() {
      figure.replaceChildren(make("p", { class: "note" },
        "This browser cannot play the remuxed file, or it does not lie beside the report: ",
        make("a", { href: link }, "open it")));
    }
    function onloadedmetadata(event) {
      if (!event.target.videoWidth) show("audio", "The asset with this mix as its sound");
    }
    show("video", "The picture with this mix as its sound", { onloadedmetadata });
    return figure;
  }

  function makeSiblings(stem, siblings) {
    if (siblings.length < 2) return make("div");
    const hasTracks = siblings.some(({ track }) => track !== siblings[0].track);
    const links = siblings.map((each) => make("a", {
      href: `#stem=${each.id}`, class: `sibling ${each.status}`,
      "aria-current": each === stem ? "true" : null,
    }, name(each.queryName),
    hasTracks ? make("span", { class: "muted" }, ` ${nameTrack(each)}`) : null));
    return make("nav", { class: "siblings", "aria-label": "Stems of this asset" },
      make("h3", {}, "Of the same asset"), make("div", {}, links));
  }

  Report.review.onChange(showReview);
  return {
    open, close, judge,
    get player() { return player; },
    get shown() { return shown; },
  };
})();
