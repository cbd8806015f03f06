"use strict";
// A slider over the timeline of a recording follows its video, and seeks it; so do the start times of segments.
for (const box of document.querySelectorAll(".player")) {
  const video = box.querySelector("video"), clock = JSON.parse(box.dataset.clock);
  const sliders = [...box.querySelectorAll(".axes")].map((axes) => {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: box.dataset.seconds, step: "any", value: 0 });
    slider.setAttribute("aria-label", "Time in seconds");
    slider.addEventListener("input", () => seek(slider.value));
    axes.append(slider);
    return slider;
  });

  // Convert playing time (column 0 of the clock) to recording time (column 1), or back.
  function convert(value, column) {
    let k = 1;
    while (k < clock.length - 1 && clock[k][column] < value) k++;
    const a = clock[k - 1], b = clock[k], length = b[column] - a[column];
    const share = length > 0 ? Math.min(1, Math.max(0, (value - a[column]) / length)) : 1;
    return a[1 - column] + share * (b[1 - column] - a[1 - column]);
  }
  function seek(time) {
    video.currentTime = convert(time, 1);
  }
  function show() {
    for (const slider of sliders) slider.value = convert(video.currentTime, 0);
    if (!video.paused) requestAnimationFrame(show);
  }
  for (const event of ["play", "seeked", "loadedmetadata"]) video.addEventListener(event, show);
  for (const button of box.querySelectorAll("button[data-start]"))
    button.addEventListener("click", () => seek(button.dataset.start));
}
