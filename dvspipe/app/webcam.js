// Live webcam: sends pictures to the server, and shows its answers. It follows `camera.js`; `element` and `trigger` are
// Gradio's.
const part = name => element.querySelector("." + name);
const example = part("events").src;
const canvas = document.createElement("canvas"), video = part("film");
const QUALITY = 0.9, MOST_WAITING = 2, RECENT = 100;
const OLD_S = 3;  // age of a label that is shown in grey
let live = null;  // the running camera: its key on the server, stream, recorder and counts

const show = (name, text) => { if (part(name).textContent !== text) part(name).textContent = text; };
const say = text => show("doubt", text);
const address = (what = "") => "webcam/" + live.key + what;

function mark(state) {  // off, live, recording or saving
  element.querySelector(".webcam").dataset.state = state;
  const button = name => document.getElementById("webcam-" + name);
  button("start").disabled = state !== "off";
  button("stop").disabled = state === "off" || state === "saving";
  button("record").disabled = button("stop").disabled;
  button("record").textContent = state === "recording" ? "End the recording" : "Record";
}

async function start(key) {
  await stop();
  if (!key) return;
  try {
    const stream = await openCamera();
    live = { key, stream, recorder: null, begin: null, waiting: 0, recent: [], dropped: 0, view: null };
  } catch (error) { return say(error.message); }
  stream_ended(live);
  video.srcObject = live.stream;
  await video.play();
  mark("live");
  follow(live);
}

function stream_ended(mine) {
  mine.stream.getVideoTracks()[0].addEventListener("ended", () => { if (live === mine) stop("The camera was removed."); });
}

function follow(mine) {  // calls `send` for each new picture
  if (live !== mine) return;
  const next = (now, facts) => { send(mine, facts?.captureTime ?? now); follow(mine); };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(next);
  else requestAnimationFrame(next);
}

async function send(mine, now) {
  if (live !== mine || !video.videoWidth) return;
  if (mine.begin === null) mine.begin = now;
  const t_us = Math.round(1000 * (now - mine.begin));
  const isSkipped = mine.waiting >= MOST_WAITING;
  mine.recent = [...mine.recent, { isSkipped }].slice(-RECENT);
  judge(mine);
  if (isSkipped) return;
  mine.waiting++;
  try {
    const scale = Math.min(1, LONGER_PX / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(scale * video.videoWidth);
    canvas.height = Math.round(scale * video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const body = await new Promise(done => canvas.toBlob(done, "image/jpeg", QUALITY));
    const response = await fetch("webcam/" + mine.key + "?t_us=" + t_us, { method: "POST", body });
    const view = await response.json();
    if (live !== mine) return;
    if (!response.ok) return stop(view.message);
    present(mine, view);
  } catch (error) {
    if (live === mine) stop("The server does not answer (" + error.message + ").");
  } finally { mine.waiting--; }
}

function present(mine, view) {
  const [best, second] = view.guesses, percent = guess => Math.round(100 * guess.probability) + " %";
  if (mine.view && view.t_us < mine.view.t_us) view.t_us = mine.view.t_us;  // answers can overtake each other
  if (view.t_us !== mine.view?.t_us) mine.late = performance.now() - mine.begin - view.t_us / 1000;
  mine.view = view;
  judge(mine);
  show("name", best ? best.name : "–");
  show("share", best ? percent(best) : "");
  show("second", second ? "or " + second.name + ", " + percent(second) : "");
  if (view.events) part("events").src = view.events;
  const late = !view.t_us ? "" : " · " + Math.round(mine.late) + " ms from motion to label";
  show("facts", view.pictures_per_s.toFixed(0) + " pictures/s · " + Math.round(view.events_per_s).toLocaleString("en")
    + " events/s" + late + (view.basis ? " · by " + view.basis : ""));
  if (!view.pictures_per_s) mine.recent = [];  // the network is starting
  // The server drops the oldest of the pictures that it got.
  const dropped = Math.max(0, view.dropped - mine.dropped);
  mine.recent.filter(each => !each.isSkipped).slice(0, dropped).forEach(each => { each.isSkipped = true; });
  mine.dropped += dropped;
  const skipped = mine.recent.filter(each => each.isSkipped).length;
  show("slow", skipped < RECENT / 10 ? "" :
    "This machine is too slow: " + skipped + " of the last " + mine.recent.length + " pictures were skipped.");
}

function judge(mine) {  // shows a label in grey if it is in doubt or old
  const { view } = mine;
  if (!view) return;
  const age_s = (performance.now() - mine.begin) / 1000 - view.t_us / 1e6;
  const isOld = view.guesses.length > 0 && age_s > OLD_S;
  element.querySelector(".webcam").dataset.certain = !isOld && !view.doubt;
  say(isOld ? "This label is " + Math.round(age_s) + " s old: the machine is busy." : view.doubt);
}

async function record() {
  if (!live) return;
  if (live.recorder) return finish(live);
  live.recorder = startFilm(live.stream);
  const t_us = Math.round(1000 * (performance.now() - live.begin));
  await fetch(address("/record?t_us=" + t_us), { method: "POST" });
  mark("recording");
}

async function finish(mine) {  // uploads the film of a recording
  const recorder = mine.recorder;
  if (!recorder || recorder.state === "inactive") return;
  mark("saving");
  const path = await endFilm(recorder);
  const response = await fetch("webcam/" + mine.key + "/film", { method: "POST", body: JSON.stringify({ path }) });
  mine.recorder = null;
  if (live === mine) mark("live");
  if (response.ok) trigger("submit");
  else say((await response.json()).message);
}

async function stop(text = "Press Start, then wave.") {
  if (!live) return;
  const mine = live;
  if (mine.recorder) await finish(mine);
  live = null;
  while (mine.waiting) await new Promise(done => setTimeout(done, 20));
  mine.stream.getTracks().forEach(track => track.stop());
  video.srcObject = null;
  video.load();  // shows the example
  part("events").src = example;
  fetch("webcam/" + mine.key, { method: "DELETE", keepalive: true });
  mark("off");
  for (const name of ["name", "share", "second", "slow", "facts"]) show(name, "");
  say(text);
}

addEventListener("pagehide", () => { if (live) fetch("webcam/" + live.key, { method: "DELETE", keepalive: true }); });
window.dvspipeWebcam = { start, stop, record };
