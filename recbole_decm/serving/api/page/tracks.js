// The ranked list: what each track is, how it moved against the uploader's habit, and why it is there.
import { playable } from "./client.js";

const element = (name, kind, text) => Object.assign(document.createElement(name), { className: kind, textContent: text });

export function drawTracks(place, tracks, media) {
  place.replaceChildren(...tracks.map((track) => {
    const line = document.createElement("li");
    line.dataset.track = track.track_id;
    const name = element("div", "name", "");
    const { title, artist, genre } = track.metadata;
    name.append(element("strong", "", String(title ?? track.track_id)));
    if (artist) name.append(element("span", "tag", [artist].flat().join(", ")));
    for (const one of [genre ?? []].flat()) name.append(element("span", "tag", String(one)));
    line.append(element("span", "rank", String(track.rank)), moved(track), name, player(track, media));
    line.append(element("div", "why", why(track)));
    return line;
  }));
}

function moved(track) {
  const habit = track.explanation?.ranks.habit;
  if (!habit) return element("span", "moved", "");
  const by = habit - track.explanation.ranks.served; // both before variety, which moves tracks for another reason
  const found = element("span", "moved", by > 0 ? `▲ ${by}` : by < 0 ? `▼ ${-by}` : "=");
  if (by) found.classList.add(by > 0 ? "up" : "down");
  found.title = `rank ${habit} as the uploader usually chooses`;
  found.setAttribute("aria-label", by ? `${by > 0 ? "up" : "down"} ${Math.abs(by)}, from ${habit}` : "not moved");
  return found;
}

export function why(track) {
  const { match, adjustment, ranks, neighbours } = track.explanation ?? {};
  const parts = [];
  if (match != null) parts.push(`the match counts ${match.toFixed(2)} of ${track.score.toFixed(2)}`);
  if (adjustment) {
    const most = Object.entries(adjustment).filter(([, value]) => Math.abs(value) >= 0.005)
      .sort((one, other) => Math.abs(other[1]) - Math.abs(one[1])).slice(0, 2);
    for (const [genre, value] of most) parts.push(`${genre} ${value > 0 ? "adds" : "takes"} ${Math.abs(value).toFixed(2)}`);
  }
  if (ranks?.habit && ranks?.neutral) parts.push(`rank ${ranks.habit} as usual, ${ranks.neutral} without habit`);
  if (neighbours?.length) {
    const names = neighbours.map((video) => video.video_id).join(", ");
    parts.push(`${neighbours[0].used === "track" ? "used by" : "its genre used by"} ${names}, the nearest videos`);
  }
  return parts.join("; ");
}

function player(track, media) {
  const place = document.createElement("div");
  place.className = "play";
  const path = source(track, media);
  if (path === null) return place;
  const button = element("button", "", "Play");
  button.type = "button";
  button.setAttribute("aria-label", `Play ${track.metadata.title ?? track.track_id}`);
  button.addEventListener("click", async () => {
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.addEventListener("error", () => place.replaceChildren(element("span", "soft", "no file")));
    try {
      audio.src = path.startsWith("/") ? await playable(path) : path;
    } catch {
      place.replaceChildren(element("span", "soft", "no file"));
      return;
    }
    place.replaceChildren(audio);
    audio.focus();
    audio.play().catch(() => {});
  });
  place.append(button);
  return place;
}

// A preview on this server, or on a server that it was started with; else the file of --media.
function source(track, media) {
  const preview = track.metadata.preview_url;
  if (typeof preview === "string" && preview) {
    const address = URL.canParse(preview, location.href) ? new URL(preview, location.href) : null;
    if (address?.origin === location.origin) return address.pathname + address.search;
    if (address && media.origins.includes(address.origin)) return address.href;
  }
  return media.tracks ? `/v1/media/tracks/${encodeURIComponent(track.track_id)}` : null;
}
