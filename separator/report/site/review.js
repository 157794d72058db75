"use strict";
// The verdicts: kept in the browser as they are given, saved as a file for `separator review import`.
Report.review = (() => {
  const overview = Report.get("data", "overview");
  const KEY = `separator-review:${overview.output}`;
  const listeners = [];
  let verdicts = read();

  function read() {
    try {
      return JSON.parse(localStorage.getItem(KEY) || "{}");
    } catch {
      return {}; // a browser that keeps nothing for such a page
    }
  }

  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(verdicts));
    } catch {
      document.getElementById("review-count").title =
        "This browser keeps nothing for this page: save the review before you close it";
    }
    show();
    listeners.forEach((tell) => tell());
  }

  function get(id) {
    return verdicts[id] || { verdict: "", note: "" };
  }

  function set(id, change) {
    const now = { ...get(id), ...change, reviewed_at: new Date().toISOString() };
    if (now.verdict || now.note) verdicts[id] = now;
    else delete verdicts[id];
    keep();
  }

  function pack() {
    const rows = Object.entries(verdicts).map(([fingerprint, each]) => ({ fingerprint, ...each }));
    rows.sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
    const about = { format: "separator-review", version: 1, output: overview.output };
    return JSON.stringify({ ...about, verdicts: rows }, null, 1) + "\n";
  }

  function save() {
    const blob = new Blob([pack()], { type: "application/json" });
    const link = Report.make("a", { href: URL.createObjectURL(blob), download: "review.json" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  async function loadFile(file) {
    try {
      const content = JSON.parse(await file.text());
      if (content.format !== "separator-review") throw new Error("is no saved review");
      for (const { fingerprint, verdict, note, reviewed_at } of content.verdicts)
        verdicts[String(fingerprint)] = { verdict, note, reviewed_at };
      keep();
    } catch (error) {
      document.getElementById("review-count").textContent = `${file.name}: ${error.message}`;
    }
  }

  function show() {
    const all = Object.values(verdicts);
    const count = (verdict) => all.filter((each) => each.verdict === verdict).length;
    const text = `${count("accept")} accepted, ${count("reject")} rejected`;
    document.getElementById("review-count").textContent = all.length ? text : "";
    document.getElementById("review-save").disabled = !all.length;
  }

  document.getElementById("review-save").addEventListener("click", save);
  document.getElementById("review-load").addEventListener("change", (event) => {
    if (event.target.files.length) loadFile(event.target.files[0]);
    event.target.value = "";
  });
  show();
  return { get, set, pack, onChange: (tell) => listeners.push(tell) };
})();
