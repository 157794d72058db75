"use strict";
// What all parts of the page share: the data that scripts hand over, elements, numbers as text.
// Texts from the library only ever become text nodes and attributes, never markup.
const Report = (() => {
  const found = new Map();
  const waiting = new Map();
  const stamp = new URL(document.currentScript.src).search; // of this report

  const OUTDATED = "If the report has been made again, reload this page.";

  // Called by the scripts below data/ and previews/.
  function put(kind, name, content) {
    const key = `${kind}/${name}`;
    found.set(key, content);
    (waiting.get(key) || []).forEach((tell) => tell(content));
    waiting.delete(key);
  }

  function get(kind, name) {
    return found.get(`${kind}/${name}`);
  }

  // Load a script that hands over its data: works from file://, where fetch does not.
  function load(kind, name, address) {
    const key = `${kind}/${name}`;
    if (found.has(key)) return Promise.resolve(found.get(key));
    return new Promise((resolve, reject) => {
      if (waiting.has(key)) {
        waiting.get(key).push(resolve);
        return;
      }
      waiting.set(key, [resolve]);
      const script = document.createElement("script");
      script.src = address + stamp;
      script.onerror = () => {
        waiting.delete(key);
        script.remove();
        reject(new Error(`${address} cannot be read. ${OUTDATED}`));
      };
      document.head.append(script);
    });
  }

  // Make an element: properties that begin with "on" are listeners, others attributes.
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined)
        element.setAttribute(name, value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  // A name from the library: its own direction, whatever script it is in.
  function name(text, properties = {}) {
    return make("bdi", properties, text);
  }

  // Empty where an asset failed before its tracks were known.
  function nameTrack({ track, language }) {
    return track < 0 ? "" : `track ${track}${language ? ` (${language})` : ""}`;
  }

  function showTime(seconds, digits = 0) {
    if (seconds === null || seconds === undefined) return "–";
    const rounded = Number(seconds.toFixed(digits));
    const whole = Math.floor(rounded);
    const pad = (n) => String(n).padStart(2, "0");
    const rest = digits ? (rounded - whole).toFixed(digits).slice(1) : "";
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return (h ? `${h}:${pad(m)}` : `${m}`) + `:${pad(s)}${rest}`;
  }

  function showLength(seconds) {
    if (seconds >= 3600) return `${(seconds / 3600).toFixed(1)} h`;
    return seconds >= 60 ? `${(seconds / 60).toFixed(1)} min` : `${Math.round(seconds)} s`;
  }

  function showNumber(value, digits = 2) {
    return value === null || value === undefined ? "–" : value.toFixed(digits);
  }

  // `noun`: what is counted, in the singular.
  function showCount(number, noun = "") {
    const plural = number === 1 ? noun : `${noun.replace(/y$/, "ie")}s`;
    return number.toLocaleString("en") + (noun ? ` ${plural}` : "");
  }

  return {
    OUTDATED, put, get, load, make, name, nameTrack, showTime, showLength, showNumber, showCount,
  };
})();
