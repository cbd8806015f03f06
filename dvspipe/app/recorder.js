// Recorder of a file picker: films while a button is held, or for some seconds after a countdown. It follows
// `camera.js`; `element` and `trigger` are Gradio's.
const COUNTDOWN_S = 3, TIMED_S = 6, MAX_S = 60, MIN_S = 0.5, SECOND_MS = 1000;
const root = element.querySelector(".recorder"), video = root.querySelector("video");
const hold = root.querySelector(".hold"), timed = root.querySelector(".timed");
let stream = null, film = null, held = false;

const say = text => { root.querySelector(".line").textContent = text; };
const wait = seconds => new Promise(done => setTimeout(done, SECOND_MS * seconds));

function mark(state) {  // off, live, counting, recording or saving
  root.dataset.state = state;
  timed.disabled = state === "recording" || state === "saving";
  timed.textContent = state === "counting" ? "Cancel" : "Record " + TIMED_S + " s, after " + COUNTDOWN_S + " s";
  hold.disabled = state === "counting" || state === "saving";
}

const is_idle = () => ["off", "live"].includes(root.dataset.state);

async function open() {
  if (stream) return;
  stream = await openCamera();
  stream.getVideoTracks()[0].addEventListener("ended", close);
  video.srcObject = stream;
  await video.play();
  mark("live");
}

function close() {
  if (film || root.dataset.state === "counting") say("The recording was stopped.");
  stream?.getTracks().forEach(track => track.stop());
  stream = film = video.srcObject = null;
  mark("off");
}

async function attempt(work) {  // says why the work failed
  try {
    await work();
  } catch (error) {
    close();
    say(error.message);
  }
}

function begin() {
  film = startFilm(stream);
  film.start_s = performance.now() / SECOND_MS;
  mark("recording");
  say("Recording.");
  trigger("start_recording");
}

async function end() {
  if (!film) return;
  const ended = film, length_s = performance.now() / SECOND_MS - ended.start_s;
  film = null;
  if (length_s < MIN_S) {
    ended.stop();
    mark("live");
    return say("Hold the button while you make the gesture.");
  }
  mark("saving");
  const path = await endFilm(ended);
  mark(stream ? "live" : "off");
  say("Recorded " + length_s.toFixed(1) + " s.");
  trigger("stop_recording", { path });
}

async function recordHeld() {
  await open();
  if (!held) return say("The camera is on: hold the button while you make the gesture.");
  begin();
  const mine = film;
  await wait(MAX_S);
  if (film === mine) await end();
}

async function recordTimed() {
  await open();
  mark("counting");
  const mine = stream;
  for (let left = COUNTDOWN_S; left && stream === mine; left--) {
    say("Recording starts in " + left + " s.");
    await wait(1);
  }
  if (stream !== mine) return;
  begin();
  for (let left = TIMED_S; left && film; left--) {
    say("Recording: " + left + " s left.");
    await wait(1);
  }
  await end();
}

function press() {
  if (held || !is_idle()) return;
  held = true;
  attempt(recordHeld);
}

function release() {
  if (!held) return;
  held = false;
  attempt(end);
}

hold.addEventListener("pointerdown", event => { if (event.button === 0) press(); });
hold.addEventListener("keydown", event => {
  if (event.key !== " " && event.key !== "Enter") return;
  event.preventDefault();
  if (!event.repeat) press();
});
hold.addEventListener("keyup", release);
hold.addEventListener("blur", release);
hold.addEventListener("contextmenu", event => event.preventDefault());
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, release);
timed.addEventListener("click", () => is_idle() ? attempt(recordTimed) : close());
// The camera is off while another tab of the page is shown; what it recorded is kept.
new ResizeObserver(() => { if (stream && !element.offsetWidth) attempt(end).then(close); }).observe(element);
addEventListener("pagehide", close);
mark("off");
