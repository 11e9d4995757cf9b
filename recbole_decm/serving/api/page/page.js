// The page: a video in, tracks out, and a slider from the uploader's habit to none.
import { drawBars, sharesOf } from "./bars.js";
import { ask, featuresOf, get, playable, recommend, Refused, useKey } from "./client.js";
import { drawTracks } from "./tracks.js";

const at = (id) => document.getElementById(id);
const state = { artefact: null, media: { videos: [], tracks: false, origins: [] }, features: null, habit: null, usual: null };
let running = null;

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

async function start() {
  try {
    [state.artefact, state.media] = await Promise.all([get("/v1/artefact"), get("/v1/media")]);
  } catch (error) {
    at("key-form").hidden = !(error instanceof Refused && error.status === 401);
    say(error.message, true);
    return;
  }
  at("key-form").hidden = true;
  const { model, artefact, tracks, limits, why_no_uploads: reason } = state.artefact;
  at("about").textContent = `${model} over ${tracks} tracks (artefact ${artefact})`;
  at("k").max = limits.k;
  at("no-uploads").hidden = reason === null;
  at("no-uploads").textContent = reason ?? "";
  at("file").disabled = reason !== null;
  const buttons = reason !== null ? [] : state.media.videos.map(demoButton);
  at("demo-list").replaceChildren(...buttons);
  at("demos").hidden = buttons.length === 0;
  say("Choose a video.");
  showSlider();
}

function demoButton(demo) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: demo.name });
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", async () => {
    for (const other of at("demo-list").children) other.setAttribute("aria-pressed", String(other === button));
    at("history").value = demo.history.join(" ");
    try {
      const path = `/v1/media/videos/${encodeURIComponent(demo.name)}`;
      const blob = await (await ask(path)).blob();
      await useVideo(blob, await playable(path));
    } catch (error) {
      say(error.message, true);
    }
  });
  return button;
}

async function useVideo(blob, source) {
  at("video").src = source;
  at("video").hidden = false;
  say("Looking at the video …");
  try {
    state.features = await featuresOf(blob);
  } catch (error) {
    say(error.message, true);
    return;
  }
  await newVideo();
}

async function newVideo() {
  state.habit = state.usual = null;
  at("slider").value = 0;
  await update();
}

const historyOf = () => at("history").value.split(/[\s,]+/).filter(Boolean);

function request() {
  const body = { videos: [{ features: state.features }], k: Number(at("k").value) || 10, explain: true };
  const filter = at("filter").value.trim(), diversity = Number(at("diversity").value);
  if (filter) body.filter = filter;
  if (diversity) body.diversity = diversity;
  if (historyOf().length) body.history = historyOf();
  if (state.habit && state.artefact.why_no_prior_changes === null) body.prior = priorAt(Number(at("slider").value) / 100);
  return body;
}

// From the habit (0) to none (1): p_k in proportion to habit_k ^ (1 - t), a straight line for the model's logarithms.
function priorAt(t) {
  if (t >= 1) return "neutral";
  const powers = Object.entries(state.habit).map(([genre, p]) => [genre, p ** (1 - t)]);
  const sum = powers.reduce((total, [, p]) => total + p, 0);
  return Object.fromEntries(powers.map(([genre, p]) => [genre, p / sum]));
}

async function update() {
  if (!state.features) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  try {
    let answer = await recommend(request(), signal);
    if (!state.habit && answer.results[0].habit) {  // known from now on: the slider begins at it
      state.habit = answer.results[0].habit;
      answer = await recommend(request(), signal);
    }
    const { tracks } = answer.results[0];
    if (state.habit && Number(at("slider").value) === 0) state.usual = tracks.map((track) => track.track_id);
    show(tracks);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function show(tracks) {
  const { genres } = state.artefact;
  drawTracks(at("tracks"), tracks, state.media);
  drawBars(at("bars"), genres, sharesOf(tracks, genres), state.habit);
  say(tracks.length ? `${tracks.length} tracks` : "No track is left by the filter.");
  const here = new Set(tracks.map((track) => track.track_id));
  const gone = (state.usual ?? []).filter((track) => !here.has(track));
  at("left-list").textContent = gone.length ? `No longer in the list: ${gone.join(", ")}` : "";
  showSlider();
}

function showSlider() {
  const reason = state.artefact.why_no_prior_changes
    ?? (state.habit ? null : "Off: say which tracks the uploader has used, so that a habit is known.");
  at("slider").disabled = reason !== null;
  at("slider-off").textContent = reason ?? "";
}

async function changedUploader() {
  state.habit = state.usual = null;
  at("slider").value = 0;
  await update();
}

at("slider").addEventListener("input", update);
for (const id of ["filter", "k", "diversity"]) {
  at(id).addEventListener("change", async () => {
    state.usual = null;
    await update();
  });
}
at("history").addEventListener("change", changedUploader);
at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  if (file) useVideo(file, URL.createObjectURL(file));
});
at("use-features").addEventListener("click", async () => {
  try {
    state.features = JSON.parse(at("features").value);
  } catch (error) {
    say(`The features: ${error.message}`, true);
    return;
  }
  await newVideo();
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key").value);
  start();
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    const [file] = event.dataTransfer?.files ?? [];
    if (kind === "drop" && file && !at("file").disabled) useVideo(file, URL.createObjectURL(file));
  });
}
start();
