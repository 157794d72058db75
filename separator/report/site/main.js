"use strict";
// Start the page: views by address (#stems, #overview, #stem=ID), keys, the line about the choice.
(() => {
  const { showCount } = Report;
  const find = (id) => document.getElementById(id);
  const overview = Report.get("data", "overview");
  const isWide = () => window.matchMedia("(min-width: 60rem)").matches;

  function showTitle() {
    const parts = overview.output.replace(/\/+$/, "").split("/");
    find("place").replaceChildren(Report.name(overview.output, { title: overview.output }));
    document.title = `${parts[parts.length - 1]} – separation report`;
  }

  function showChoice() {
    const { assets, by_doubt, at_random } = overview.chosen;
    find("chosen").textContent = at_random
      ? `This page holds ${showCount(assets)} of ${showCount(overview.assets)} assets: the `
        + `${showCount(by_doubt)} most doubtful ones and ${showCount(at_random)} at random. `
        + "The overview counts all."
      : `All assets of the output are here: ${showCount(overview.assets)}.`;
  }

  // What is no address at all is that of no view.
  function readRoute() {
    try {
      return decodeURIComponent(location.hash.slice(1)).split("=");
    } catch {
      return [""];
    }
  }

  // Where a narrow window stood in the list, which the panel covers.
  let top = 0;

  function route() {
    const [view, id] = readRoute();
    const isOverview = view === "overview";
    const wasCovered = document.body.classList.contains("has-panel");
    if (!wasCovered && !find("view-stems").hidden) top = window.scrollY;
    find("view-stems").hidden = isOverview;
    find("view-overview").hidden = !isOverview;
    for (const [link, here] of [["to-stems", !isOverview], ["to-overview", isOverview]]) {
      if (here) find(link).setAttribute("aria-current", "page");
      else find(link).removeAttribute("aria-current");
    }
    if (isOverview) {
      Report.panel.close();
      return;
    }
    if (view === "stem" && Report.list.open(id)) {
      if (!isWide()) find("panel").focus();
    } else if (isWide() && Report.list.first()) Report.list.open(Report.list.first());
    else {
      Report.panel.close();
      window.scrollTo(0, top);
    }
  }

  const KEYS = {
    " ": () => Report.panel.player && Report.panel.player.toggle(),
    1: () => Report.panel.player && Report.panel.player.listen(0),
    2: () => Report.panel.player && Report.panel.player.listen(1),
    3: () => Report.panel.player && Report.panel.player.listen(2),
    ArrowLeft: () => Report.panel.player && Report.panel.player.nudge(-1),
    ArrowRight: () => Report.panel.player && Report.panel.player.nudge(1),
    j: () => Report.list.step(1),
    k: () => Report.list.step(-1),
    a: () => Report.panel.judge("accept"),
    r: () => Report.panel.judge("reject"),
    n: () => find("note") && find("note").focus(),
    "/": () => find("search").focus(),
    Escape: () => { if (!isWide()) location.hash = "stems"; },
  };

  // Space acts on a button that the keyboard has come to; after a click it plays. `byKeyboard` is
  // kept from the moment of the focus: browsers show it after any key.
  let byKeyboard = false;
  document.addEventListener("focusin", (event) => {
    byKeyboard = event.target.matches(":focus-visible");
  });
  document.addEventListener("pointerdown", () => { byKeyboard = false; });

  function takesSpace(target) {
    const isPressed = target.matches("button, summary, input:not([type=range])");
    return isPressed ? byKeyboard : target.matches("audio, video");
  }

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const isTyping = target.matches(
      "input:not([type=checkbox]):not([type=range]):not([type=file]), select, textarea");
    if (event.key === "Escape" && isTyping) target.blur();
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    if (event.key === " " && takesSpace(target)) return;
    if (event.key.startsWith("Arrow") && target.matches("input, audio, video")) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  showTitle();
  showChoice();
  Report.showOverview(find("view-overview"));
  Report.list.apply();
  window.addEventListener("hashchange", route);
  route();
})();
