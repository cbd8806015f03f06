"use strict";
// Link the timeline of a recording with its video: a line follows the video; clicks and keys seek.
{
  const players = [...document.querySelectorAll(".player")].map(connect);

  function make(name, text, parent) {
    const element = document.createElement(name);
    element.textContent = text;
    parent?.append(element);
    return element;
  }

  function connect(box) {
    const video = box.querySelector("video"), track = box.querySelector(".track");
    const clock = JSON.parse(box.dataset.clock);
    const seconds = Number(box.dataset.seconds), rows = [...box.querySelectorAll("td[data-start]")];
    const starts = rows.map((cell) => Number(cell.dataset.start));
    const stepS = Math.min(1, seconds / 20), pictureS = 1 / 15;

    track.tabIndex = 0;
    for (const [name, value] of Object.entries({ role: "slider", "aria-label": "Time in seconds", "aria-valuemin": 0,
                                                 "aria-valuemax": seconds })) track.setAttribute(name, value);
    const line = make("div", "", track);
    line.className = "line";
    const controls = make("div", "");
    controls.className = "controls";
    video.closest("figure").after(controls);
    video.controls = false;
    if (document.querySelectorAll(".player").length <= 3) video.preload = "auto";  // show the first picture

    // Convert playing time (column 0 of the clock) to recording time (column 1), or back.
    function convert(value, column) {
      let k = 1;
      while (k < clock.length - 1 && clock[k][column] < value) k++;
      const a = clock[k - 1], b = clock[k], length = b[column] - a[column];
      const share = length > 0 ? Math.min(1, Math.max(0, (value - a[column]) / length)) : 1;
      return a[1 - column] + share * (b[1 - column] - a[1 - column]);
    }
    const now = () => Math.min(seconds, Math.max(0, convert(video.currentTime, 0)));
    function seek(time) {
      video.currentTime = convert(Math.min(seconds, Math.max(0, time)), 1);
      show();
    }
    function segment() {
      return starts.findLastIndex((start) => start <= now() + 0.01);
    }
    function jump(to) {
      if (starts.length) seek(starts[Math.min(starts.length - 1, Math.max(0, to))]);
    }
    function toggle() {
      if (video.paused) video.play(); else video.pause();
    }
    function step(length) {
      video.pause();
      video.currentTime += length;
    }
    function show() {
      line.style.left = 100 * now() / seconds + "%";
      play.textContent = video.paused ? "Play" : "Pause";
      const text = now().toFixed(2) + " s";
      time.textContent = text;
      track.setAttribute("aria-valuenow", now().toFixed(2));
      track.setAttribute("aria-valuetext", text);
      rows.forEach((cell, k) => cell.parentElement.classList.toggle("now", k === segment()));
      if (!video.paused) requestAnimationFrame(show);
    }
    function button(text, label, action) {
      const made = make("button", text, controls);
      made.type = "button";
      if (label) made.setAttribute("aria-label", label);
      made.addEventListener("click", action);
      return made;
    }
    const actions = {
      " ": toggle,
      ArrowLeft: () => seek(now() - stepS),
      ArrowRight: () => seek(now() + stepS),
      ",": () => step(-pictureS),
      ".": () => step(pictureS),
      p: () => jump(segment() - 1),
      n: () => jump(segment() + 1),
    };
    const ends = { Home: () => seek(0), End: () => seek(seconds) };

    const play = button("Play", "", toggle);
    button("◀", "back", actions.ArrowLeft);
    button("▶", "forward", actions.ArrowRight);
    const time = make("output", "", controls);
    const help = make("p", box !== document.querySelector(".player") ? "" : "Click the chart" + (rows.length ? " or a start time" : "") + " to jump to that time. Keys: space: play or pause; "
      + "← and →: seek; comma and period: step one picture" + (rows.length ? "; p and n: previous and next segment." : "."), null);
    help.className = "quiet";
    controls.after(help);
    rows.forEach((cell, k) => {
      const text = cell.textContent;
      cell.textContent = "";
      const made = make("button", text, cell);
      made.type = "button";
      made.setAttribute("aria-label", "show " + text + " s");
      made.addEventListener("click", () => seek(starts[k]));
    });
    function point(event) {
      const area = track.getBoundingClientRect();
      seek(seconds * (event.clientX - area.left) / area.width);
    }
    track.addEventListener("click", point);
    track.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && event.buttons & 1) point(event); });
    video.addEventListener("click", toggle);
    for (const event of ["play", "pause", "seeked", "loadedmetadata"]) video.addEventListener(event, show);
    video.addEventListener("play", () => players.forEach((other) => { if (other.video !== video) other.video.pause(); }));
    show();
    return { box, video, track, actions, ends };
  }

  function isVisible(player) {
    const area = player.box.getBoundingClientRect();
    return area.height > 0 && area.bottom > 0 && area.top < innerHeight;
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const focused = document.activeElement;
    if (event.key === " " && focused?.closest("button, summary, a")) return;  // which it presses
    const player = players.find((one) => one.box.contains(focused)) ?? players.find(isVisible);
    const action = player?.actions[event.key] ?? (player?.track === focused ? player.ends[event.key] : undefined);
    if (action) {
      event.preventDefault();
      action();
    }
  });
}
