// Label editor: a film, its spans over time, and its classes. `element` and `trigger` are Gradio's.
const part = name => element.querySelector("." + name);
const root = part("labels"), video = part("film"), line = part("timeline"), head = part("head");
const MIN_US = 20_000, STEP_S = 0.1, LONG_STEP_S = 1, NEW_US = 1_000_000, GOLDEN_ANGLE = 137.5;
let file = null;  // name, media, is_film, start_us, duration_us, classes, used, spans, are_proposals
let spans = [], chosen = -1, past = [], future = [], drag = null, is_saving = false;
const unsaved = new Map();  // spans by name of the file
let classes = [];  // names; the first ten have a digit
const typed = new Set(), removed = new Set(), hues = new Map();

const end_us = () => file.start_us + file.duration_us;
const us_per_s = () => file.is_film || !video.duration ? 1e6 : file.duration_us / video.duration;
const now_us = () => Math.round(file.start_us + video.currentTime * us_per_s());
const seek = t_us => { video.currentTime = Math.max(0, (t_us - file.start_us) / us_per_s()); };
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const seconds = t_us => ((t_us - file.start_us) / 1e6).toFixed(2);
const readable = name => name.replaceAll("_", " ");

function open(opened) {
  file = opened;
  if (!file) {
    video.removeAttribute("src");
    root.dataset.state = "empty";
    return;
  }
  spans = file.spans;
  [past, future, chosen] = [[], [], spans.length ? 0 : -1];
  video.src = file.media;
  root.dataset.state = "open";
  draw();
  root.focus({ preventScroll: true });
}

function hue(name) {  // stays the same if other classes are added
  if (!hues.has(name)) hues.set(name, hues.size);
  return Math.round(GOLDEN_ANGLE * hues.get(name)) % 360;
}

function draw_classes() {  // a class that a label uses cannot be removed
  const used = new Set([...file.used, ...spans.map(span => span.name)]);
  classes = [...new Set([...typed, ...file.classes, ...used])].filter(name => used.has(name) || !removed.has(name));
  part("classes").replaceChildren(...classes.map((name, number) => {
    const item = document.createElement("span");
    item.style.setProperty("--hue", hue(name));
    item.append(make_button((number < 10 ? (number + 1) % 10 + " " : "") + readable(name), () => rename(name)));
    if (!used.has(name)) item.append(make_button("×", () => remove_class(name), `Remove the class ${readable(name)}`));
    return item;
  }));
}

function make_button(text, act, title = "") {
  const button = document.createElement("button");
  button.textContent = text;
  if (title) button.title = button.ariaLabel = title;
  button.onclick = () => { act(); root.focus({ preventScroll: true }); };
  return button;
}

function remove_class(name) {
  typed.delete(name);
  removed.add(name);
  draw();
}

part("add").onsubmit = event => {
  event.preventDefault();
  const name = part("name").value.trim().split(/\s+/).join("_");
  part("name").value = "";
  if (!file || !name) return;
  removed.delete(name);
  if (!classes.slice(0, 10).includes(name)) typed.add(name);  // it gets a digit
  draw();
  root.focus({ preventScroll: true });
};

function draw() {
  const percent = t_us => 100 * (t_us - file.start_us) / file.duration_us + "%";
  draw_classes();
  line.querySelectorAll(".span").forEach(each => each.remove());
  spans.forEach((span, index) => {
    const bar = document.createElement("div");
    bar.className = "span";
    bar.dataset.index = index;
    bar.style.cssText = `left: ${percent(span.start_us)}; --hue: ${hue(span.name)};
      width: ${100 * (span.end_us - span.start_us) / file.duration_us}%`;
    bar.title = `${readable(span.name)}, ${seconds(span.start_us)} to ${seconds(span.end_us)} s`;
    bar.innerHTML = '<i class="start"></i><b></b><i class="end"></i>';
    bar.querySelector("b").textContent = readable(span.name);
    bar.classList.toggle("picked", index === chosen);
    line.append(bar);
  });
  root.classList.toggle("proposals", file.are_proposals);
  const span = spans[chosen];
  part("about").textContent = span ? `${readable(span.name)}: ${seconds(span.start_us)} to ${seconds(span.end_us)} s` :
    "Drag on the timeline to add a gesture.";
  for (const name of ["split", "merge", "delete"]) part(name).disabled = !span;
  part("merge").disabled ||= !spans[chosen + 1];
  part("undo").disabled = !past.length;
  part("redo").disabled = !future.length;
}

function change(changed, index) {  // shows and saves new spans; the previous ones can be restored
  past.push({ spans, chosen });
  future = [];
  show(changed, index);
}

function show(changed, index) {
  spans = changed;
  chosen = index;
  file.are_proposals = false;
  draw();
  unsaved.set(file.name, spans);
  save();
}

function save() {  // one file at a time, and of several changes only the last
  const [next] = unsaved;
  if (is_saving || !next) return;
  is_saving = true;
  unsaved.delete(next[0]);
  trigger("submit", { name: next[0], spans: next[1] });
}

function saved() {
  is_saving = false;
  save();
}

function restore(from, to) {
  const state = from.pop();
  if (!state) return;
  to.push({ spans, chosen });
  show(state.spans, state.chosen);
}

function put(span, index = -1) {  // replaces the span at `index`, or adds it
  const others = spans.filter((_, number) => number !== index);
  const changed = [...others, span].sort((a, b) => a.start_us - b.start_us);
  change(changed, changed.indexOf(span));
}

function limits(t_us, index = -1) {  // the free time around a time, or around a span
  const others = spans.filter((_, number) => number !== index);
  return [Math.max(file.start_us, ...others.filter(each => each.end_us <= t_us).map(each => each.end_us)),
    Math.min(end_us(), ...others.filter(each => each.start_us >= t_us).map(each => each.start_us))];
}

function rename(name) {
  if (spans[chosen]) return put({ ...spans[chosen], name }, chosen);
  const now = now_us(), [least, most] = limits(now), start_us = Math.max(least, now);
  if (spans.some(each => each.start_us <= now && now < each.end_us) || most - start_us < MIN_US) return;
  put({ start_us, end_us: Math.min(start_us + NEW_US, most), name });
}

function choose(index) {
  chosen = index;
  if (spans[index]) seek(spans[index].start_us);
  draw();
}

function move_end(side) {  // an end of the chosen span, to the current time
  const span = spans[chosen], now = now_us();
  if (!span) return;
  const [least, most] = limits(span.start_us, chosen);
  if (side === "start") put({ ...span, start_us: clamp(now, least, span.end_us - MIN_US) }, chosen);
  else put({ ...span, end_us: clamp(now, span.start_us + MIN_US, most) }, chosen);
}

function split() {
  const now = now_us(), span = spans[chosen];
  if (!span || now - span.start_us < MIN_US || span.end_us - now < MIN_US) return;
  const halves = [{ ...span, end_us: now }, { ...span, start_us: now }];
  change([...spans.slice(0, chosen), ...halves, ...spans.slice(chosen + 1)], chosen + 1);
}

function merge() {  // the chosen span with the next one
  const span = spans[chosen], next = spans[chosen + 1];
  if (!span || !next) return;
  change([...spans.slice(0, chosen), { ...span, end_us: next.end_us }, ...spans.slice(chosen + 2)], chosen);
}

function remove() {
  if (spans[chosen]) change(spans.filter((_, index) => index !== chosen), Math.min(chosen, spans.length - 2));
}

// Pointer: drag an end, choose a span, or drag on free time to add one.
const time_at = event => {
  const box = line.getBoundingClientRect();
  return Math.round(file.start_us + clamp((event.clientX - box.left) / box.width, 0, 1) * file.duration_us);
};

line.addEventListener("pointerdown", event => {
  if (!file) return;
  root.focus({ preventScroll: true });
  const t_us = time_at(event), bar = event.target.closest(".span");
  const side = ["start", "end"].find(name => event.target.classList.contains(name));
  if (bar) chosen = Number(bar.dataset.index);
  seek(t_us);
  draw();
  if (bar && !side) return;
  const span = side ? spans[chosen] : null;
  drag = { span, side, index: chosen, from_us: t_us, limits: limits(span ? span.start_us : t_us, span ? chosen : -1) };
  line.setPointerCapture(event.pointerId);
});

line.addEventListener("pointermove", event => {
  if (!drag) return;
  const [least, most] = drag.limits, t_us = clamp(time_at(event), least, most);
  const name = spans[chosen]?.name ?? classes[0] ?? "gesture", ends = [drag.from_us, t_us].sort((a, b) => a - b);
  if (drag.side === "start") drag.moved = { ...drag.span, start_us: Math.min(t_us, drag.span.end_us - MIN_US) };
  else if (drag.side) drag.moved = { ...drag.span, end_us: Math.max(t_us, drag.span.start_us + MIN_US) };
  else drag.moved = ends[1] - ends[0] < MIN_US ? null : { start_us: ends[0], end_us: ends[1], name };
  const { style } = part("ghost");
  style.display = drag.moved ? "block" : "none";
  if (!drag.moved) return;
  style.left = 100 * (drag.moved.start_us - file.start_us) / file.duration_us + "%";
  style.width = 100 * (drag.moved.end_us - drag.moved.start_us) / file.duration_us + "%";
  seek(t_us);
});

function drop(event) {
  part("ghost").style.display = "none";
  const done = drag;
  drag = null;
  if (done?.moved && event.type === "pointerup") put(done.moved, done.side ? done.index : -1);
  else if (done && !done.side) { chosen = -1; draw(); }
}
line.addEventListener("pointerup", drop);
line.addEventListener("pointercancel", drop);

const play = () => video.paused ? video.play() : video.pause();
const actions = { play, split, merge, delete: remove, undo: () => restore(past, future), redo: () => restore(future, past),
  accept: () => change(spans, chosen) };
for (const [name, act] of Object.entries(actions)) part(name).onclick = () => file && act();

const step = event => (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? LONG_STEP_S : STEP_S);
const keys = {
  " ": play, s: split, m: merge, Delete: remove, Backspace: remove, Enter: actions.accept,
  i: () => move_end("start"), o: () => move_end("end"), Escape: () => choose(-1),
  n: () => choose(Math.min(chosen + 1, spans.length - 1)), p: () => choose(Math.max(chosen - 1, 0)),
  ArrowLeft: event => { video.currentTime += step(event); }, ArrowRight: event => { video.currentTime += step(event); },
};
root.addEventListener("keydown", event => {
  if (!file || event.altKey || event.target === part("name") || (event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key))) return;
  const is_undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  const name = classes["1234567890".indexOf(event.key)];
  const act = is_undo ? (event.shiftKey ? actions.redo : actions.undo) : keys[event.key] ?? (name && (() => rename(name)));
  if (!act || (!is_undo && (event.ctrlKey || event.metaKey))) return;
  event.preventDefault();
  act(event);
});

function follow() {
  if (file) {
    head.style.left = clamp(100 * (now_us() - file.start_us) / file.duration_us, 0, 100) + "%";
    part("time").textContent = seconds(now_us()) + " s";
    part("play").textContent = video.paused ? "Play" : "Pause";
  }
  requestAnimationFrame(follow);
}
follow();
video.addEventListener("error", () => { if (file) part("about").textContent =
  "This browser cannot play the file: convert it to .mp4 first."; });
window.dvspipeLabels = { open, saved, is_saving: () => is_saving };
