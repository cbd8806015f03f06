// Camera of the browser: opens it, and records its film. `webcam.js` and `recorder.js` follow; `upload` is Gradio's.
const LONGER_PX = 640, SHORTER_PX = 480, FRAMES_PER_S = 30, FILM_BITS_PER_S = 2_500_000;
const FILMS = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];

function explain(error) {
  if (error.name === "NotAllowedError") return "The browser does not allow the camera: allow it beside the address.";
  if (error.name === "NotFoundError") return "No camera was found.";
  if (error.name === "NotReadableError") return "Another program uses the camera.";
  return "The camera cannot be opened (" + error.message + ").";
}

async function openCamera() {
  if (!navigator.mediaDevices) throw new Error("Browsers allow the camera only at localhost or over HTTPS.");
  const size = { width: { ideal: LONGER_PX }, height: { ideal: SHORTER_PX }, frameRate: { ideal: FRAMES_PER_S } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: size });
  } catch (error) { throw new Error(explain(error)); }
}

function startFilm(stream) {
  const mimeType = FILMS.find(each => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: FILM_BITS_PER_S });
  recorder.film = new Promise(done => { recorder.ondataavailable = part => done(part.data); });
  recorder.start();
  return recorder;
}

async function endFilm(recorder) {  // uploads the film, and returns its path on the server
  recorder.stop();
  const film = await recorder.film, suffix = film.type.includes("mp4") ? ".mp4" : ".webm";
  const { path } = await upload(new File([film], "webcam" + suffix, { type: film.type.split(";")[0] }));
  return path;
}

