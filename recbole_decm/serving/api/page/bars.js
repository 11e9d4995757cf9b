// Bars: the share of each genre in the list, and in what the uploader usually chooses.
export function sharesOf(tracks, genres) {
  const shares = Object.fromEntries(genres.map((genre) => [genre, 0]));
  let known = 0;
  for (const track of tracks) {
    const own = [track.metadata.genre ?? []].flat().filter((genre) => genre in shares);
    if (own.length) known += 1;
    for (const genre of own) shares[genre] += 1 / own.length;
  }
  for (const genre of genres) shares[genre] /= Math.max(1, known);
  return shares;
}

export function drawBars(place, genres, shares, habit) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const rows = genres.map((genre) => {
    const row = document.createElement("div");
    row.className = "genre";
    const name = Object.assign(document.createElement("span"), { textContent: genre, title: genre });
    const pair = document.createElement("div");
    pair.append(bar("list", shares[genre]), bar("habit", habit ? habit[genre] : 0));
    const share = Object.assign(document.createElement("span"), { className: "share", textContent: percent(shares[genre]) });
    const told = habit ? `, ${percent(habit[genre])} of the habit` : "";
    row.setAttribute("aria-label", `${genre}: ${percent(shares[genre])} of the list${told}`);
    row.setAttribute("role", "img");
    row.append(name, pair, share);
    return row;
  });
  place.replaceChildren(...rows);
}

function bar(kind, share) {
  const found = document.createElement("div");
  found.className = `bar ${kind}`;
  found.style.width = `${100 * Math.min(1, share)}%`;
  return found;
}
