"use strict";
// The verdicts: kept in the browser as they are given, saved as a file for `separator review import`.
// Those that were in the output when the report was made are there from the start. Of two about one
// stem the later one counts, wherever it comes from; an empty verdict or note of a file replaces
// none, unless it was taken back.
Report.review = (() => {
  const overview = Report.get("data", "overview");
  const KEY = `separator-review:${overview.output}`;
  const FORMAT = "separator-review";
  const TIME = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;
  const LONGEST_NOTE = 10_000;
  const FIELDS = ["verdict", "note"];
  const TIMES = FIELDS.map((key) => `${key}_at`); // given or taken back then; empty: neither
  const listeners = [];
  const verdicts = {}; // `given`: as the output has it; not kept here, nor saved again

  function isObject(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
  }

  // Read what this browser keeps; entries that nothing of ours has written are left out.
  function read() {
    try {
      const kept = parse(localStorage.getItem(KEY));
      return Object.entries(isObject(kept) ? kept : {})
        .filter(([id, each]) => !check({ ...each, fingerprint: id }))
        .map(([id, each]) => [id, { ...take(each), saved: each.saved !== false }]);
    } catch {
      return []; // a browser that keeps nothing for such a page
    }
  }

  // Add what this browser keeps to what this tab does: of two about one stem the later one stays.
  function add(entries) {
    for (const [id, each] of entries) {
      const known = verdicts[id];
      if (!known || Date.parse(known.reviewed_at) <= Date.parse(each.reviewed_at))
        verdicts[id] = each;
    }
  }

  // Add an entry of a file: of its fields, and of ours, those that were given last stay.
  function join(id, entry) {
    const known = verdicts[id] || entry;
    const last = (key) => (known[key] > entry[key] ? known : entry);
    const now = { ...last("reviewed_at"), saved: true, given: false };
    now.reviewer = last("verdict_at").reviewer;
    TIMES.forEach((time, number) => {
      const key = FIELDS[number];
      [now[key], now[time]] = [last(time)[key], last(time)[time]];
    });
    verdicts[id] = now;
  }

  // Add the verdicts of the output.
  function give(rows) {
    for (const row of rows) {
      const id = row.fingerprint;
      if (verdicts[id]) join(id, take(row));
      else verdicts[id] = { ...take(row), saved: true, given: true };
    }
  }

  // `id`: the one stem whose verdict has changed; without it all are shown again.
  function keep(id) {
    try {
      const own = Object.entries(verdicts).filter(([, { given }]) => !given);
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(own)));
    } catch {
      document.getElementById("review-count").title =
        "This browser keeps nothing for this page: save the review before you close it";
    }
    show(id);
  }

  function get(id) {
    return verdicts[id] || { verdict: "", note: "", verdict_at: "", note_at: "" };
  }

  // What was taken back stays as such, which takes it back from the output too, if a file may have
  // brought it there.
  function set(id, change) {
    add(read());
    const known = verdicts[id];
    const now = { saved: false, ...get(id), ...change, given: false };
    if ("verdict" in change) now.reviewer = "";
    if (!known && !now.verdict && !now.note) return;
    const least = known ? Date.parse(known.reviewed_at) + 1 : 0; // another clock may be ahead
    now.reviewed_at = new Date(Math.max(Date.now(), least)).toISOString();
    Object.keys(change).forEach((key) => {
      now[`${key}_at`] = now[key] || now.saved ? now.reviewed_at : "";
    });
    verdicts[id] = now;
    say("");
    keep(id);
  }

  function isToSave({ verdict, note, saved, given }) {
    return !given && Boolean(verdict || note || saved);
  }

  // Times are left out where they say nothing new.
  function pack() {
    const rows = Object.entries(verdicts).filter(([, each]) => isToSave(each))
      .map(([fingerprint, { saved, given, ...each }]) => {
        if (!each.reviewer) delete each.reviewer;
        FIELDS.forEach((key, number) => {
          const time = TIMES[number];
          if (!each[time] || (each[key] && each[time] === each.reviewed_at)) delete each[time];
        });
        return { fingerprint, ...each };
      });
    rows.sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
    const about = { format: FORMAT, version: 1, output: overview.output };
    return JSON.stringify({ ...about, verdicts: rows }, null, 1) + "\n";
  }

  function save() {
    add(read());
    const blob = new Blob([pack()], { type: "application/json" });
    const link = Report.make("a", { href: URL.createObjectURL(blob), download: "review.json" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    Object.values(verdicts).filter(isToSave).forEach((each) => { each.saved = true; });
    keep();
  }

  // Check an entry as `separator review import` does; return what is wrong with it.
  function check(row) {
    if (!isObject(row)) return "is none";
    const [id, verdict, note, when] = ["fingerprint", "verdict", "note", "reviewed_at"]
      .map((key) => row[key] ?? "");
    if (typeof id !== "string" || !/^[0-9a-f]{32}$/.test(id)) return "names no stem";
    if (!["accept", "reject", ""].includes(verdict))
      return "is neither accept nor reject nor empty";
    if (typeof note !== "string") return "has a note that is no text";
    if (typeof (row.reviewer ?? "") !== "string") return "has a reviewer that is no text";
    if (note.length > LONGEST_NOTE) return "has a note that is too long";
    const times = [when, ...TIMES.map((key) => row[key] ?? "")];
    return times.every((time) => time === "" || readTime(time)) ? "" : "has a time that is none";
  }

  // Take an entry that `check` has found good. Of an earlier page those without verdict and note had
  // a verdict that was taken back.
  function take({ verdict, note, reviewed_at, reviewer, verdict_at, note_at }) {
    const show = (time) => time && readTime(time).toISOString();
    const now = reviewed_at ? show(reviewed_at) : new Date().toISOString();
    const isEarlier = !verdict && !note && (verdict_at ?? note_at ?? null) === null;
    return {
      verdict: verdict ?? "", note: note ?? "", reviewed_at: now, reviewer: reviewer ?? "",
      verdict_at: show(verdict_at) || (verdict || isEarlier ? now : ""),
      note_at: show(note_at) || (note ? now : ""),
    };
  }

  // A time without a zone is in UTC.
  function readTime(text) {
    const parts = typeof text === "string" ? TIME.exec(text) : null;
    if (!parts) return null;
    const time = new Date(parts[1] && !parts[4] ? `${text}Z` : text);
    return Number.isNaN(time.getTime()) ? null : time;
  }

  // Return what is wrong with the content of a file; undefined if it is a saved review.
  function checkFile(content) {
    if (!isObject(content) || content.format !== FORMAT) return "";
    if (!Array.isArray(content.verdicts) || typeof content.output !== "string")
      return ": it lacks the list `verdicts` or the text `output`";
    const wrong = content.verdicts.map(check);
    const first = wrong.findIndex(Boolean);
    return first < 0 ? undefined : `: verdict ${first + 1} ${wrong[first]}`;
  }

  function parse(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  async function loadFile(file) {
    const content = parse(await file.text().catch(() => ""));
    const wrong = checkFile(content);
    if (wrong !== undefined) {
      say(`${file.name} is no saved review${wrong}.`);
      return;
    }
    add(read());
    content.verdicts.forEach((row) => join(row.fingerprint, take(row)));
    const [its, ours] = [content.output, overview.output].map((uri) => uri.replace(/\/+$/, ""));
    say(its === ours ? ""
      : `${file.name} is a review of another output: ${its}. Its verdicts were added.`);
    keep();
  }

  function say(text) {
    document.getElementById("review-said").textContent = text;
    document.getElementById("review-said").hidden = !text;
  }

  // Count what stands; what was taken back is only saved.
  function show(id) {
    const all = Object.values(verdicts);
    const count = (verdict) => all.filter((each) => each.verdict === verdict).length;
    const text = `${count("accept")} accepted, ${count("reject")} rejected`;
    const stands = all.some((each) => each.verdict || each.note);
    document.getElementById("review-count").textContent = stands ? text : "";
    document.getElementById("review-save").disabled = !all.some(isToSave);
    listeners.forEach((tell) => tell(id));
  }

  document.getElementById("review-save").addEventListener("click", save);
  document.getElementById("review-load").addEventListener("change", (event) => {
    if (event.target.files.length) loadFile(event.target.files[0]);
    event.target.value = "";
  });
  window.addEventListener("storage", (event) => {
    if (event.key !== KEY) return;
    add(read());
    show();
  });
  add(read());
  give(Report.get("data", "verdicts").rows);
  show();
  return { get, set, pack, onChange: (tell) => listeners.push(tell) };
})();
