// What the page asks of its server. A key is kept in this page alone, and goes with its closing.
let key = "";

export const useKey = (value) => { key = value.trim(); };

export const hasKey = () => key !== "";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail ?? `the server answered ${answer.status}`);
  }
  return answer;
}

export const get = async (path) => (await ask(path)).json();

export async function recommend(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("/v1/recommendations", { method: "POST", headers, body: JSON.stringify(body), signal });
  return answer.json();
}

export async function featuresOf(blob) {
  const form = new FormData();
  form.append("video", blob, "video");
  return (await (await ask("/v1/features", { method: "POST", body: form })).json()).videos[0].features;
}

// A place that a player can play: the server's own where no key is needed, else a copy in memory.
export async function playable(path) {
  return key ? URL.createObjectURL(await (await ask(path)).blob()) : path;
}
