"use strict";
// Play the sounds of one stem in step: all of them run, one is heard. Switching keeps the position.
Report.makePlayer = (preview, spans) => {
  const { make, showTime } = Report;
  const [start, stop] = preview.window;
  const length = stop - start;
  const TITLES = { mixture: "Mixture", stem: "Stem", residual: "Residual", rendition: "Mix" };
  const lanes = preview.lanes.map((lane) => ({ ...lane, title: TITLES[lane.kind] }));
  const sounds = lanes.map((lane) => {
    const sound = make("audio", { preload: "auto" });
    Report.setSource(sound, `previews/${lane.audio}`);
    return sound;
  });
  let active = Math.max(0, lanes.findIndex((lane) => lane.kind === "stem"));
  let drawing = 0;

  const play = make("button", { type: "button", class: "play", "aria-label": "Play" });
  const clock = make("output", { class: "clock", "aria-label": "Position" });
  const loop = make("input", { type: "checkbox" });
  const choice = make("div", { class: "choice", role: "radiogroup", "aria-label": "Listen to" });
  const head = make("div", { class: "head" });
  const stack = make("div", { class: "lanes" });
  const seek = make("input", {
    type: "range", class: "seek", min: 0, max: length, step: 0.01, value: 0,
    "aria-label": "Position in the preview",
  });

  const buttons = lanes.map((lane, number) => {
    const button = make("button", {
      type: "button", role: "radio", "data-kind": lane.kind, onclick: () => listen(number),
    }, lane.title, make("kbd", {}, String(number + 1)));
    choice.append(button);
    return button;
  });
  const canvases = lanes.map((lane) => {
    const canvas = make("canvas", { class: "wave", "aria-hidden": "true" });
    const picture = make("img", {
      class: "spectrogram", src: `previews/${lane.picture}`,
      alt: `Spectrogram of the ${lane.title.toLowerCase()}`,
    });
    const label = make("span", { class: "lane-name" }, lane.title);
    stack.append(make("div", { class: "lane", "data-kind": lane.kind }, label, canvas, picture));
    return canvas;
  });
  stack.append(head);

  function listen(number) {
    if (number < 0 || number >= sounds.length) return;
    align(sounds[active].currentTime, number);
    active = number;
    showActive();
  }

  function align(position, only) {
    sounds.forEach((sound, number) => {
      const drift = Math.abs(sound.currentTime - position);
      if (drift > 0.04 && (only === undefined || number === only)) sound.currentTime = position;
    });
  }

  function showActive() {
    sounds.forEach((sound, number) => { sound.muted = number !== active; });
    buttons.forEach((button, number) => {
      button.setAttribute("aria-checked", String(number === active));
      button.tabIndex = number === active ? 0 : -1;
    });
    stack.querySelectorAll(".lane").forEach((lane, number) =>
      lane.classList.toggle("active", number === active));
    draw();
  }

  function isPlaying() {
    return !sounds[active].paused;
  }

  async function toggle() {
    if (isPlaying()) {
      sounds.forEach((sound) => sound.pause());
    } else {
      if (sounds[active].ended) align(0);
      align(sounds[active].currentTime);
      try {
        await Promise.all(sounds.map((sound) => sound.play()));
      } catch (error) {
        if (error.name !== "AbortError") clock.title = error.message;
      }
    }
    showState();
  }

  function showState() {
    play.classList.toggle("playing", isPlaying());
    play.setAttribute("aria-label", isPlaying() ? "Pause" : "Play");
    cancelAnimationFrame(drawing);
    tick();
  }

  function tick() {
    const position = Math.min(sounds[active].currentTime, length);
    head.style.left = `${(100 * position) / length}%`;
    seek.value = position;
    seek.setAttribute("aria-valuetext", showTime(start + position, 1));
    clock.textContent = `${showTime(start + position, 1)} / ${showTime(stop, 1)}`;
    if (isPlaying()) drawing = requestAnimationFrame(tick);
  }

  function jump(position) {
    const to = Math.min(Math.max(position, 0), Math.max(0, length - 0.05));
    sounds.forEach((sound) => { sound.currentTime = to; });
    tick();
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    lanes.forEach((lane, number) =>
      Report.drawWave(canvases[number], lane.peaks, style.getPropertyValue(`--${lane.kind}`)));
  }

  sounds.forEach((sound, number) => {
    sound.addEventListener("ended", () => {
      if (number !== active) return;
      if (loop.checked) {
        align(0);
        sounds.forEach((each) => each.play());
      } else showState();
    });
    sound.addEventListener("seeked", tick);
    sound.addEventListener("error", () => {
      clock.textContent = "cannot be played: the files beside this page are missing";
    });
  });
  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => jump(Number(seek.value)));
  choice.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    listen((active + step + sounds.length) % sounds.length);
    buttons[active].focus();
  });
  stack.addEventListener("pointerdown", (event) => {
    const box = stack.getBoundingClientRect();
    jump((length * (event.clientX - box.left)) / box.width);
  });

  const element = make("div", { class: "player" },
    make("div", { class: "controls" }, play, choice, clock,
      make("label", { class: "loop" }, loop, " loop")),
    Report.makeTimeline(spans, start, stop),
    stack, seek, sounds);
  const watcher = new ResizeObserver(draw);
  watcher.observe(stack);
  showActive();
  tick();
  return {
    element, toggle, listen, jump,
    nudge: (seconds) => jump(sounds[active].currentTime + seconds),
    close: () => {
      watcher.disconnect();
      cancelAnimationFrame(drawing);
      sounds.forEach((sound) => {
        sound.pause();
        if (sound.src.startsWith("blob:")) URL.revokeObjectURL(sound.src);
        sound.removeAttribute("src");
      });
    },
  };
};

// From a server a sound is fetched as a whole: some servers cannot send the part that a jump needs.
Report.setSource = async (sound, address) => {
  if (location.protocol === "file:") {
    sound.src = address;
    return;
  }
  try {
    const answer = await fetch(address);
    const whole = answer.ok ? await answer.blob() : null;
    if (!sound.isConnected) return;  // its stem was left meanwhile: nothing would free the address
    sound.src = whole ? URL.createObjectURL(whole) : address;
  } catch {
    sound.src = address;
  }
};

// Draw peaks (0 to 99) as bars around a middle line.
Report.drawWave = (canvas, peaks, color) => {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = color.trim() || "gray";
  const step = width / peaks.length;
  peaks.forEach((peak, number) => {
    const tall = Math.max(1, (peak / 99) * height);
    context.fillRect(number * step, (height - tall) / 2, Math.max(step, 0.6), tall);
  });
};

// Seconds along the top, and the stretches where the query was found.
Report.makeTimeline = (spans, start, stop) => {
  const { make, showTime } = Report;
  const length = stop - start;
  const place = (seconds) => `${(100 * (Math.min(Math.max(seconds, start), stop) - start)) / length}%`;
  const line = make("div", { class: "timeline" });
  const steps = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200];
  const step = steps.find((each) => length / each <= 8) || 14400;
  for (let at = Math.ceil(start / step) * step; at < stop; at += step) {
    const tick = make("span", { class: "tick" }, showTime(at, step < 1 ? 1 : 0));
    tick.style.left = place(at);
    line.append(tick);
  }
  for (const [from, to] of spans || []) {
    if (to <= start || from >= stop) continue;
    const text = `${showTime(from, 1)} to ${showTime(to, 1)}`;
    const mark = make("span", { class: "span", title: `present ${text}` });
    mark.style.left = place(from);
    mark.style.right = `${100 - parseFloat(place(to))}%`;
    line.append(mark);
  }
  return line;
};
