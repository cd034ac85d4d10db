// What every page needs: loading data, making elements, the theme button.
// Data files are scripts that call `leaderboard.deliver(name, value)`: the one way to load data that works from files too.
"use strict";

const leaderboard = (() => {
  const waiting = new Map();
  const root = document.documentElement.dataset.root;

  /** The value of a data file; `name` is its path below data/ without the ending. */
  function load(name) {
    if (!waiting.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => { entry.resolve = resolve; entry.reject = reject; });
      waiting.set(name, entry);
      const script = document.createElement("script");
      script.src = `${root}data/${name}.js`;
      script.onerror = () => { waiting.delete(name); entry.reject(new Error(`data/${name}.js is missing`)); };
      document.head.append(script);
    }
    return waiting.get(name).promise;
  }

  function deliver(name, value) {
    waiting.get(name)?.resolve(value);
  }

  /** An element with text or children; text is never read as markup. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  return { load, deliver, make, root };
})();

document.getElementById("theme")?.addEventListener("click", () => {
  const element = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (element.dataset.theme ?? system) === "dark" ? "light" : "dark";
  element.dataset.theme = next;
  try { localStorage.setItem("leaderboard-theme", next); } catch { /* as in theme.js */ }
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
