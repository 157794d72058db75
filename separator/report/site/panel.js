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
    root.scrollTop = 0;
    document.body.classList.add("has-panel");
    showSound(stem, sound);
    showFiles(stem, files);
  }

  function makeHead(stem, step) {
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
        make("span", { class: "muted" }, `, ${nameTrack(stem)}, ${showTime(stem.duration, 1)}`)));
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

  function makeReview(stem) {
    const buttons = [["accept", "Accept", "a"], ["reject", "Reject", "r"]].map(
      ([verdict, title, key]) => make("button", {
        type: "button", class: `verdict ${verdict}`, "data-verdict": verdict,
        onclick: () => judge(verdict),
      }, title, make("kbd", {}, key)));
    const note = make("input", {
      type: "text", id: "note", class: "note-input", placeholder: "Note", "aria-label": "Note",
      maxlength: 2000, autocomplete: "off",
    });
    note.value = Report.review.get(stem.id).note || "";
    note.addEventListener("change", () => Report.review.set(stem.id, { note: note.value.trim() }));
    const place = make("div", { class: "judge", role: "group", "aria-label": "Verdict" },
      buttons, note);
    showVerdict(place, stem);
    return place;
  }

  function showVerdict(place, stem) {
    const { verdict } = Report.review.get(stem.id);
    place.querySelectorAll("[data-verdict]").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict)));
  }

  // The same verdict again takes it back.
  function judge(verdict) {
    if (!shown) return;
    const now = Report.review.get(shown.id).verdict;
    Report.review.set(shown.id, { verdict: now === verdict ? "" : verdict });
    showVerdict(root.querySelector(".judge"), shown);
  }

  async function showFiles(stem, place) {
    try {
      const asset = await Report.load("data", stem.assetKey, `data/${stem.assetKey}.js`);
      const row = asset.rows[stem.id];
      if (shown !== stem || !row) return;
      if (row.links.remux) place.append(makeVideo(row.links.remux));
      const titles = { stem: "Whole stem", residual: "Whole residual", remux: "Remuxed file" };
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

  function makeVideo(link) {
    const video = make("video", { src: link, controls: true, preload: "metadata" });
    const figure = make("figure", { class: "video" }, video,
      make("figcaption", { class: "muted" }, "The picture with this mix as its sound"));
    video.addEventListener("error", () => figure.replaceChildren(make("p", { class: "note" },
      "This browser cannot show the remuxed file, or it does not lie beside the report: ",
      make("a", { href: link }, "open it"))));
    return figure;
  }

  function makeSiblings(stem, siblings) {
    if (siblings.length < 2) return make("div");
    const links = siblings.map((each) => make("a", {
      href: `#stem=${each.id}`, class: `sibling ${each.status}`,
      "aria-current": each === stem ? "true" : null,
    }, name(each.queryName), make("span", { class: "muted" }, ` ${each.track}`)));
    return make("nav", { class: "siblings", "aria-label": "Stems of this asset" },
      make("h3", {}, "Of the same asset"), make("div", {}, links));
  }

  return {
    open, close, judge,
    get player() { return player; },
    get shown() { return shown; },
  };
})();
