// One episode and what each run did in it. The address names both: #RUN/INDEX.
"use strict";

const { make, load, root } = leaderboard;
const place = document.getElementById("episode");
const detail = document.getElementById("detail");
const state = { run: null, index: 0 };
let board;

const outcomeOf = (code) => ({ S: "success", E: "error" })[code] ?? "failure";

function readAddress() {
  const [run, index] = location.hash.slice(1).split("/");
  state.run = board.runs.find((known) => known.id === run) ?? board.runs[0];
  state.index = Math.max(0, Math.min(board.episodes.length - 1, Number.parseInt(index, 10) || 0));
}

function go(run, index) {
  location.hash = `${run.id}/${index}`;
}

function showRuns() {
  const list = document.getElementById("runs");
  const kept = list.scrollTop;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.run : null;
  list.replaceChildren(...board.runs.map((run) => {
    const code = run.cells[state.index];
    const outcome = outcomeOf(code);
    const word = outcome === "failure" ? `failure, ${Number(code) * 10} %` : outcome;
    const button = make("button", { type: "button", "aria-pressed": String(run === state.run), "data-run": run.id },
      make("span", { class: `dot ${outcome}`, "aria-hidden": "true" }), make("span", { class: "name" }, run.label),
      make("span", { class: "word" }, word));
    button.addEventListener("click", () => go(run, state.index));
    return button;
  }));
  list.scrollTop = kept;
  if (focused) list.querySelector(`[data-run="${focused}"]`)?.focus();
}

async function show() {
  readAddress();
  const name = board.episodes[state.index];
  document.getElementById("episode-title").textContent = name;
  document.getElementById("previous").disabled = state.index === 0;
  document.getElementById("next").disabled = state.index === board.episodes.length - 1;
  const solved = board.runs.filter((run) => run.cells[state.index] === "S").length;
  document.getElementById("episode-facts").textContent =
    `Episode ${state.index + 1} of ${board.episodes.length}${board.groups[state.index] ? `, ${board.groups[state.index]}` : ""}; solved by ${solved} of ${board.runs.length} runs.`;
  showRuns();
  const { run, index } = state;
  try {
    const chunk = await load(`runs/${run.id}/episodes-${Math.floor(index / board.chunk)}`);
    if (run === state.run && index === state.index) showDetail(chunk[index % board.chunk]);
  } catch (error) {
    detail.replaceChildren(make("p", { class: "why" }, error.message));
  }
}

function showDetail(episode) {
  const first = episode.stages[0];
  const parts = [make("p", { class: "instruction" }, episode.stages.length === 1 ? `“${first.instruction}”` : `A chain of ${episode.stages.length} instructions`)];
  parts.push(...video(episode));
  if (episode.error) {
    parts.push(make("h2", {}, "Error"), make("div", { class: "failure-box" },
      make("p", {}, `In ${episode.error.phase}: `, make("code", {}, episode.error.message))));
  }
  parts.push(make("h2", {}, episode.stages.length === 1 ? "Stage" : "Stages"), stages(episode));
  const subgoals = episode.events.filter(([, , kind]) => kind === "subgoal");
  if (subgoals.length) parts.push(make("h2", {}, "Sub-goals"), trace(subgoals));
  parts.push(make("h2", {}, "Planner trace"), ...planner(episode));
  parts.push(make("h2", {}, "Facts"), facts(episode));
  detail.replaceChildren(...parts);
}

function video(episode) {
  if (episode.video) {
    const player = make("video", { controls: "", preload: "metadata", playsinline: "", src: root + episode.video });
    player.setAttribute("aria-label", `Video of ${episode.id}`);
    return [player];
  }
  return [make("p", { class: "quiet-text" }, "No video was kept of this episode. From the run's folder, this makes one:"), make("pre", {}, episode.replay)];
}

function stages(episode) {
  const list = make("ol", { class: "stages" });
  for (const stage of episode.stages) {
    const state = stage.success === null ? "not reached" : stage.success ? "success" : "failure";
    const sign = { "not reached": "·", success: "✓", failure: "✗" }[state];
    const steps = stage.steps === null ? `up to ${stage.max_steps} steps` : `${stage.steps} of ${stage.max_steps} steps`;
    const metrics = Object.entries(stage.metrics).map(([name, value]) => `${name} ${brief(value)}`).join(" · ");
    list.append(make("li", {}, make("span", { class: `mark ${state}`, "aria-hidden": "true" }, sign),
      make("span", {}, stage.instruction, " ", make("code", {}, stage.task)),
      make("span", { class: "quiet-text" }, `${state}, ${steps}`),
      make("span", { class: "sub" }, stage.steps === null ? "" : `progress ${brief(stage.progress)}${metrics ? ` · ${metrics}` : ""}`)));
  }
  return list;
}

function planner(episode) {
  const events = episode.events.filter(([, , kind]) => kind !== "subgoal");
  if (!events.length) return [make("p", { class: "quiet-text" }, "The agent reported nothing about its decisions.")];
  const kinds = [...new Set(events.map(([, , kind]) => kind))].sort();
  const holder = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Planner trace" });
  const bar = make("div", { class: "trace-bar", role: "group", "aria-label": "Kinds of events" });
  const choose = (kind) => {
    for (const button of bar.children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    holder.replaceChildren(trace(events.filter((event) => kind === "" || event[2] === kind)));
  };
  for (const kind of ["", ...kinds]) {
    const button = make("button", { type: "button", "data-kind": kind }, kind || "all");
    button.addEventListener("click", () => choose(kind));
    bar.append(button);
  }
  choose("");
  const more = episode.events_left_out ? [make("p", { class: "note" }, `${episode.events_left_out} further events are in the run store.`)] : [];
  return [kinds.length > 1 ? bar : null, holder, ...more].filter(Boolean);
}

function trace(events) {
  const head = make("thead", {}, make("tr", {}, ...["Stage", "Step", "Event", "Data"].map((name) => make("th", { scope: "col" }, name))));
  const rows = events.map(([stage, step, kind, data]) => make("tr", {}, make("td", {}, String(stage + 1)), make("td", {}, String(step)),
    make("td", {}, kind), make("td", {}, Object.entries(data).map(([name, value]) => `${name} ${brief(value)}`).join(" · "))));
  return make("table", { class: "trace" }, head, make("tbody", {}, ...rows));
}

function brief(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toPrecision(3);
  if (typeof value === "string") return value;
  const text = JSON.stringify(value);
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}

function facts(episode) {
  const list = make("dl", { class: "provenance" });
  for (const [name, text] of episode.facts) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, text)));
  list.append(make("div", {}, make("dt", {}, "Re-execute its actions"), make("dd", {}, make("pre", {}, episode.replay))));
  return list;
}

document.getElementById("previous").addEventListener("click", () => go(state.run, state.index - 1));
document.getElementById("next").addEventListener("click", () => go(state.run, state.index + 1));
document.getElementById("jump").addEventListener("change", (event) => {
  const index = board.episodes.indexOf(event.target.value.trim());
  if (index >= 0) { go(state.run, index); event.target.value = ""; }
});
addEventListener("hashchange", show);
load(`boards/${place.dataset.board}/grid`).then((data) => {
  board = data;
  document.getElementById("episode-ids").append(...board.episodes.map((name) => make("option", { value: name })));
  show();
}, (error) => { document.getElementById("episode-facts").textContent = error.message; });
